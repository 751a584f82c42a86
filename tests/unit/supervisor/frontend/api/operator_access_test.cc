// Goal: only clients on the server's own machine, and no web page from elsewhere, pass for
// operators. Method: requests as http/ hands them over.
#include "supervisor/frontend/api/operator_access.h"

#include <gtest/gtest.h>

#include <string>

namespace bitnetd::frontend {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

Request local_request(Headers headers = {}) {
    Request request;
    request.peer = {"127.0.0.1:40132", true};
    request.headers = std::move(headers);
    return request;
}

std::string refusal(const Request& request) {
    const auto error = refuse_other_than_operator(request);
    if (!error) return "";
    EXPECT_EQ(error->status, 403);
    EXPECT_FALSE(error->message.empty());
    EXPECT_FALSE(error->suggestion.empty());
    return std::string(error->code);
}

TEST(OperatorAccess, LocalClientsAreOperators) {
    EXPECT_EQ(refusal(local_request()), "");
    EXPECT_EQ(refusal(local_request({{"host", "anything.example"}})), "")
        << "a program that names the machine as it likes";
}

TEST(OperatorAccess, OthersAreNot) {
    Request request = local_request();
    request.peer = {"192.0.2.7:40132", false};
    EXPECT_EQ(refusal(request), "role_required");
    request.peer = {};
    EXPECT_EQ(refusal(request), "role_required") << "who is not known is not local";
}

TEST(OperatorAccess, WhatAProxyBringsIsNotLocal) {
    for (const char* name : {"forwarded", "via", "x-real-ip", "x-forwarded-for"}) {
        EXPECT_EQ(refusal(local_request({{name, "127.0.0.1"}})), "role_required") << name;
    }
}

TEST(OperatorAccess, OwnPages) {
    const std::pair<const char*, const char*> own[] = {
        {"http://localhost:8080", "localhost:8080"},
        {"http://LOCALHOST:8080", "localhost:8080"},
        {"http://127.0.0.1:8080", "127.0.0.1:8080"},
        {"http://[::1]:8080", "[::1]:8080"},
        {"http://127.0.0.1", "127.0.0.1"},
        {"http://127.0.0.1", "127.0.0.1:80"},
        {"https://192.0.2.1", "192.0.2.1:443"},
        {"https://bitnet.localhost", "bitnet.localhost"},
        {"http://[::1]", "[::1]"}};
    for (const auto& [origin, host] : own) {
        EXPECT_EQ(refusal(local_request({{"host", host}, {"origin", origin}})), "")
            << origin << " to " << host;
    }
}

TEST(OperatorAccess, ForeignPages) {
    const std::pair<const char*, const char*> foreign[] = {
        {"http://evil.example", "127.0.0.1:8080"},
        {"http://127.0.0.1:8081", "127.0.0.1:8080"},  // another service of this machine
        {"http://localhost:8080", "127.0.0.1:8080"},
        {"https://127.0.0.1",
         "127.0.0.1"
         ":80"},
        {"http://evil.example:8080", "evil.example:8080"},  // a name pointed at this machine
        {"http://localhost.evil.example", "localhost.evil.example"},
        {"http://127.0.0.1.evil.example", "127.0.0.1.evil.example"},
        {"null", "127.0.0.1:8080"},
        {"null", "null"},
        {"", "127.0.0.1:8080"},
        {"file://", "127.0.0.1:8080"},
        {"http://", ""},
        {"http://:80", ":80"},
        {"http://[::1", "[::1"},
        {"http://[::1]:8080", "[::2]:8080"},
        {"http://127.0.0.1:8080/", "127.0.0.1:8080"},
        {"http://user@127.0.0.1:8080", "127.0.0.1:8080"}};
    for (const auto& [origin, host] : foreign) {
        EXPECT_EQ(refusal(local_request({{"host", host}, {"origin", origin}})),
                  "origin_not_allowed")
            << origin << " to " << host;
    }
    EXPECT_EQ(refusal(local_request({{"origin", "http://127.0.0.1:8080"}})), "origin_not_allowed")
        << "without a Host nothing is one's own";
    EXPECT_EQ(refusal(local_request({{"host", "127.0.0.1"},
                                     {"origin", "http://127.0.0.1"},
                                     {"origin", "http://evil.example"}})),
              "origin_not_allowed");
}

}  // namespace
}  // namespace bitnetd::frontend
