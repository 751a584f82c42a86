// Goal: the head of an answer is well-formed whatever the handler puts into it; ids are unique
// UUIDs. Method: rendered heads are compared with their expected text.
#include "supervisor/frontend/http/response_writer.h"

#include <gtest/gtest.h>

#include <set>

#include "supervisor/frontend/http/request_id.h"

namespace bitnetd::frontend::http {
namespace {

TEST(ResponseWriter, WholeAnswer) {
    const std::vector<std::pair<std::string, std::string>> headers = {{"Allow", "GET, HEAD"}};
    AnswerHead head;
    head.status = 405;
    head.content_type = "application/json";
    head.headers = &headers;
    head.request_id = "abc";
    head.processing_ms = 12;
    head.content_bytes = 345;
    head.date = "Date: now\r\n";
    head.keep_alive = "Keep-Alive: timeout=74\r\n";
    std::string out = "before ";
    append_answer_head(out, head);
    EXPECT_EQ(out,
              "before HTTP/1.1 405 Method Not Allowed\r\nDate: now\r\n"
              "Content-Type: application/json\r\nContent-Length: 345\r\n"
              "Keep-Alive: timeout=74\r\nx-request-id: abc\r\nopenai-processing-ms: 12\r\n"
              "Allow: GET, HEAD\r\n\r\n");
}

TEST(ResponseWriter, StreamThatCloses) {
    AnswerHead head;
    head.content_type = "text/event-stream";
    head.body = AnswerHead::Body::kChunked;
    head.is_stream = true;
    head.closes = true;
    head.request_id = "abc";
    std::string out;
    append_answer_head(out, head);
    EXPECT_EQ(out,
              "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
              "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\nConnection: close\r\n"
              "x-request-id: abc\r\nopenai-processing-ms: 0\r\n\r\n");
}

TEST(ResponseWriter, ValuesCannotEndTheirLine) {
    const std::vector<std::pair<std::string, std::string>> headers = {{"X", "a\r\nSet-Cookie: b"}};
    AnswerHead head;
    head.headers = &headers;
    std::string out;
    append_answer_head(out, head);
    EXPECT_NE(out.find("X: a  Set-Cookie: b\r\n"), std::string::npos);
}

TEST(ResponseWriter, NoContentHasNeitherLengthNorType) {
    AnswerHead head;
    head.status = 204;
    head.content_type = "application/json";
    head.body = AnswerHead::Body::kNone;
    std::string out;
    append_answer_head(out, head);
    EXPECT_EQ(out.find("Content-"), std::string::npos);
    EXPECT_FALSE(has_body(204));
    EXPECT_FALSE(has_body(304));
    EXPECT_TRUE(has_body(200));
}

TEST(ResponseWriter, CrossOrigin) {
    AnswerHead head;
    head.cross_origin = true;
    std::string out;
    append_answer_head(out, head);
    EXPECT_NE(out.find("Access-Control-Allow-Origin: *\r\n"), std::string::npos);
    EXPECT_NE(out.find("retry-after-ms"), std::string::npos);
    EXPECT_EQ(out.find("ratelimit"), std::string::npos) << "there are no such limits";
}

TEST(ResponseWriter, ChunksAndDate) {
    std::string out;
    append_chunk(out, std::string(300, 'x'));
    EXPECT_EQ(out, "12c\r\n" + std::string(300, 'x') + "\r\n");
    DateLine date;
    EXPECT_TRUE(date.now().starts_with("Date: "));
    EXPECT_TRUE(date.now().ends_with(" GMT\r\n"));
    EXPECT_EQ(date.now().size(),
              std::string_view("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n").size());
}

TEST(RequestIds, AreUniqueVersion4Uuids) {
    RequestIds ids;
    std::set<std::string> seen;
    for (int i = 0; i < 10'000; ++i) {
        std::string id = "old";
        ids.draw(id);
        ASSERT_EQ(id.size(), 36u);
        for (const size_t dash : {8, 13, 18, 23})
            ASSERT_EQ(id[dash], '-');
        ASSERT_EQ(id[14], '4');
        ASSERT_NE(std::string("89ab").find(id[19]), std::string::npos);
        ASSERT_TRUE(is_sane_request_id(id));
        ASSERT_TRUE(seen.insert(id).second) << id;
    }
}

}  // namespace
}  // namespace bitnetd::frontend::http
