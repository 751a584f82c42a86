// What tests of api/ share: a tiny model (every byte is a token), an Exchange that remembers, and
// an Api over a real Dispatcher with a scripted worker. No process, no socket, no ring.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/text/byte_alphabet.h"
#include "common/text/utf8.h"
#include "common/text/vocabulary_builder.h"
#include "shm/control/text_field.h"
#include "supervisor/frontend/api/api.h"
#include "tests/unit/supervisor/frontend/dispatch/fake_worker.h"

namespace bitnetd::frontend {

using Json = nlohmann::json;
using Ids = std::vector<uint32_t>;

// Ids 0 .. 255 are the bytes; then:
inline constexpr uint32_t kBos = 256;
inline constexpr uint32_t kEndOfTurn = 257;
inline constexpr uint32_t kUser = 258;
inline constexpr uint32_t kBot = 259;
inline constexpr uint32_t kHello = 260;  // "hello"
inline constexpr uint32_t kTestVocab = 261;
inline constexpr uint32_t kTestContext = 64;
inline constexpr uint32_t kTestHidden = 4;
inline constexpr uint64_t kTestModelKey = 1;

inline Ids bytes_as_ids(std::string_view text) {
    Ids ids;
    for (const char byte : text)
        ids.push_back(static_cast<uint8_t>(byte));
    return ids;
}

inline std::vector<std::byte> make_test_image(
    const std::string& chat_template =
        "{{ bos_token }}{% for m in messages %}<|user|>{{ m.role }}:{{ m.content }}<|end|>"
        "{% endfor %}{% if add_generation_prompt %}<|bot|>{% endif %}") {
    text::VocabularyBuilder builder;
    for (uint32_t byte = 0; byte < 256; ++byte) {
        std::string mapped;
        text::append_utf8(mapped, text::byte_to_alphabet(static_cast<uint8_t>(byte)));
        builder.tokens.push_back(mapped);
    }
    for (const char* special : {"<|begin|>", "<|end|>", "<|user|>", "<|bot|>"}) {
        builder.tokens.emplace_back(special);
    }
    builder.tokens.emplace_back("hello");
    builder.merges = {{"h", "e"}, {"he", "l"}, {"hel", "l"}, {"hell", "o"}};
    builder.types.assign(kTestVocab, text::TokenType::kNormal);
    for (uint32_t id = kBos; id <= kBot; ++id)
        builder.types[id] = text::TokenType::kControl;
    builder.bos = kBos;
    builder.eos = kEndOfTurn;
    builder.end_ids = {kEndOfTurn};
    builder.add_bos = true;
    builder.pre_tokenizer = "llama-bpe";
    builder.chat_template = chat_template;
    auto image = builder.build();
    EXPECT_TRUE(image.ok()) << (image.ok() ? "" : image.error().message);
    return image.ok() ? std::move(image).value() : std::vector<std::byte>();
}

inline std::shared_ptr<const Model> make_test_model(
    std::vector<std::byte> image_bytes = make_test_image(), std::string_view id = "tiny",
    uint64_t key = kTestModelKey, const ModelOptions& options = {}) {
    const auto image = std::make_shared<const std::vector<std::byte>>(std::move(image_bytes));
    shm::ModelMessage message{};
    message.model_key = key;
    message.loaded_unix_s = 1'700'000'000;
    message.is_default = key == kTestModelKey;
    shm::set_field(message.id, id);
    shm::set_field(message.path, "/secret/place/tiny.gguf");
    message.facts.vocab = kTestVocab;
    message.facts.context = kTestContext;
    message.facts.hidden = kTestHidden;
    message.facts.parameter_count = 12345;
    message.facts.accuracy_count = 2;
    message.facts.accuracy[0] = {"F16", 0.75f};
    message.facts.accuracy[1] = {"I2_S", 0.875f};
    message.facts.cross_validation = 0.5f;
    shm::set_field(message.facts.architecture, "bitnet-b1.58");
    shm::set_field(message.facts.quantization, "I2_S");
    shm::set_field(message.facts.digest, "0123456789abcdef0123456789abcdef");
    auto model = Model::open(message, image, *image, options);
    EXPECT_TRUE(model.ok()) << (model.ok() ? "" : model.error().message);
    return model.ok() ? std::move(model).value() : nullptr;
}

class FakeExchange final : public Exchange {
  public:
    explicit FakeExchange(Request request) : request_(std::move(request)) {}

    const Request& request() const override { return request_; }
    void respond(Response given) override {
        EXPECT_FALSE(response || streaming) << "answered twice";
        response = std::move(given);
    }
    void begin_stream() override {
        EXPECT_FALSE(response || streaming) << "answered twice";
        streaming = true;
    }
    void send(std::string_view event) override {
        EXPECT_TRUE(streaming && !ended);
        stream += event;
        ++sends;
    }
    void end_stream() override {
        EXPECT_TRUE(streaming && !ended);
        ended = true;
    }
    size_t unsent_bytes() const override { return unsent; }

    bool answered() const { return response || ended; }
    Json body() const { return response ? Json::parse(response->body) : Json(); }
    std::string header(std::string_view name) const {
        for (const auto& [key, value] : response->headers) {
            if (key == name) return value;
        }
        return "";
    }
    // The events' data; "[DONE]" as a string.
    std::vector<Json> events() const {
        std::vector<Json> list;
        size_t at = 0;
        while (at < stream.size()) {
            const size_t end = stream.find("\n\n", at);
            EXPECT_NE(end, std::string::npos);
            const std::string event = stream.substr(at, end - at);
            EXPECT_EQ(event.substr(0, 6), "data: ");
            const std::string data = event.substr(6);
            list.push_back(data == "[DONE]" ? Json(data) : Json::parse(data));
            at = end + 2;
        }
        return list;
    }
    // All text deltas of a choice, joined.
    std::string streamed_text(uint32_t index = 0) const {
        std::string text;
        for (const Json& event : events()) {
            if (!event.is_object() || !event.contains("choices")) continue;
            for (const Json& choice : event["choices"]) {
                if (choice["index"] != index) continue;
                if (choice.contains("text"))
                    text += choice["text"].get<std::string>();
                else
                    text += choice["delta"].value("content", "");
            }
        }
        return text;
    }

    std::optional<Response> response;
    bool streaming = false;
    bool ended = false;
    std::string stream;
    size_t sends = 0;
    size_t unsent = 0;

  private:
    Request request_;
};

// Runs tasks when the test says so, or at once.
class ManualRunner final : public TaskRunner {
  public:
    bool at_once = true;
    void run(std::function<void()> work, std::function<void()> done) override {
        tasks_.emplace_back(std::move(work), std::move(done));
        if (at_once) run_all();
    }
    void run_all() {
        while (!tasks_.empty()) {
            auto [work, done] = std::move(tasks_.front());
            tasks_.erase(tasks_.begin());
            work();
            done();
        }
    }

  private:
    std::vector<std::pair<std::function<void()>, std::function<void()>>> tasks_;
};

// Remembers what was ordered.
class FakeSupervisor final : public OrderSender {
  public:
    bool is_gone = false;
    std::vector<shm::OrderMessage> orders;
    Result<void> send_order(const shm::OrderMessage& order) override {
        if (is_gone) return Error{ErrorCode::kUnavailable, "the other side is gone"};
        orders.push_back(order);
        return {};
    }
};

class ApiTest : public testing::Test {
  protected:
    ApiTest() { catalog_.add(make_test_model()); }
    ~ApiTest() override {
        // Clients leave before the server does.
        for (auto& exchange : exchanges_) {
            if (!exchange->answered() && exchange->on_gone) std::exchange(exchange->on_gone, {})();
        }
        api_.end_turn();
    }

    void add_worker(uint32_t credits = 8) {
        worker_ = std::make_shared<FakeWorkerState>();
        dispatcher_.add_worker({++incarnation_, kTestModelKey, 0, credits, "cpu:0", "avx2"},
                               std::make_unique<FakeWorker>(worker_), monotonic_ns());
    }
    FakeExchange& send(Method method, std::string path, std::string body = "",
                       std::vector<std::pair<std::string, std::string>> headers = {},
                       Peer peer = {"192.0.2.7:40132", false}) {
        Request request;
        request.peer = std::move(peer);
        request.method = method;
        const size_t question = path.find('?');
        if (question != path.npos) request.query = path.substr(question + 1);
        request.path = path.substr(0, question);
        request.body = std::move(body);
        request.headers = std::move(headers);
        request.request_id = "req-1";
        request.received_ns = monotonic_ns();
        exchanges_.push_back(std::make_unique<FakeExchange>(std::move(request)));
        api_.on_request(*exchanges_.back());
        return *exchanges_.back();
    }
    // From this machine: an operator.
    FakeExchange& ask(Method method, std::string path) {
        return send(method, std::move(path), "", {}, {"127.0.0.1:40132", true});
    }
    FakeExchange& post(std::string path, const Json& body) {
        return send(Method::kPost, std::move(path), body.dump());
    }
    FakeExchange& complete(Json body) { return post("/v1/completions", body); }
    FakeExchange& chat(Json body) {
        if (!body.contains("messages")) {
            body["messages"] = Json::array({{{"role", "user"}, {"content", "hi"}}});
        }
        return post("/v1/chat/completions", body);
    }
    // The worker publishes these tokens of its n-th submission; then a turn of the loop.
    void produce(size_t submission, const Ids& tokens, shm::Finish finish = shm::Finish::kNone) {
        publish(submission, tokens, finish);
        turn();
    }
    void publish(size_t submission, const Ids& tokens, shm::Finish finish = shm::Finish::kNone) {
        ASSERT_LT(submission, worker_->submissions.size());
        const Assignment& work = worker_->submissions[submission];
        auto& position = positions_[work.flight];
        if (position == 0) {
            position = static_cast<uint32_t>(work.ids.size());
            worker_->publish_started(work.flight, work.attempt, monotonic_ns());
        }
        for (size_t i = 0; i < tokens.size(); ++i) {
            const bool is_last = i + 1 == tokens.size();
            worker_->publish_token(work.flight, work.attempt, position++, tokens[i],
                                   is_last ? finish : shm::Finish::kNone);
        }
    }
    void produce_text(size_t submission, std::string_view text,
                      shm::Finish finish = shm::Finish::kNone) {
        produce(submission, bytes_as_ids(text), finish);
    }
    void turn() {
        dispatcher_.poll(monotonic_ns());
        api_.end_turn();
    }

    TestBoard board_;
    Dispatcher dispatcher_{board_.writer(), 8};
    Admission admission_{dispatcher_, {}};
    ModelCatalog catalog_;
    BoardSet boards_;
    Health health_{catalog_, dispatcher_, admission_, monotonic_ns()};
    Machine machine_;
    ManualRunner tasks_;
    FakeSupervisor orders_;
    Api api_{{dispatcher_, admission_, catalog_, boards_, health_, machine_, tasks_,
              board_.writer(), orders_},
             ApiOptions{}};
    std::shared_ptr<FakeWorkerState> worker_;
    uint64_t incarnation_ = 0;
    std::map<uint64_t, uint32_t> positions_;
    std::vector<std::unique_ptr<FakeExchange>> exchanges_;
};

}  // namespace bitnetd::frontend
