#include "tests/bench/serve/request_maker.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

namespace bitnetd::bench {
namespace {

// Streams of the seed: what the requests ask for, what they say, and what they all begin with.
constexpr uint64_t kFactsSeed = 0x66616374, kPromptSeed = 0x70726f6d, kPrefixSeed = 0x70726566;

void append_number(std::string& out, uint64_t value) {
    char digits[20];
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
    out.append(digits, end);
}

}  // namespace

std::string_view builtin_text() {
    return "Once upon a time there was a little girl who had a big red ball and a small dog . One "
           "day "
           "they went to the park to play with their friends . The sun was warm and the trees were "
           "green . A bird sat on a branch and sang a song for them . She was very happy and said "
           "thank you to the bird . Then it was time to go home and eat something good with mom "
           "and "
           "dad before they went to bed";
}

std::vector<std::string> words_of(std::string_view text) {
    constexpr std::string_view kBlanks = " \t\r\n\f\v";
    std::vector<std::string> words;
    for (size_t at = text.find_first_not_of(kBlanks); at != text.npos;) {
        const size_t end = std::min(text.find_first_of(kBlanks, at), text.size());
        words.emplace_back(text.substr(at, end - at));
        at = text.find_first_not_of(kBlanks, end);
    }
    return words;
}

RequestMaker::RequestMaker(RequestPlan plan) : plan_(std::move(plan)) {
    for (const std::string& word : plan_.words) {
        using Json = nlohmann::json;
        const std::string quoted = Json(word).dump(-1, ' ', false, Json::error_handler_t::replace);
        json_words_.push_back(quoted.substr(1, quoted.size() - 2) + " ");
    }
    Rng rng(plan_.seed ^ kPrefixSeed);
    for (uint32_t i = 0; i < plan_.shared_prefix; ++i)
        prefix_.push_back(static_cast<uint32_t>(rng.next()));
    nlohmann::json common = {{"temperature", plan_.temperature}, {"ignore_eos", true}};
    if (plan_.stream) {
        common["stream"] = true;
        common["stream_options"] = {{"include_usage", true}};
    }
    if (!plan_.model.empty()) common["model"] = plan_.model;
    if (plan_.timeout_ms != 0) common["timeout_ms"] = plan_.timeout_ms;
    common_ = common.dump();
    common_.pop_back();  // its brace: more members follow
}

RequestFacts RequestMaker::facts(uint64_t number) const {
    Rng rng(plan_.seed ^ kFactsSeed, number);
    RequestFacts facts;
    facts.number = number;
    facts.prompt_tokens = plan_.prompt_tokens.draw(rng);
    facts.output_tokens = plan_.output_tokens.draw(rng);
    facts.route = plan_.routes[rng.below(plan_.routes.size())];
    if (!plan_.priorities.empty()) facts.priority = rng.below(plan_.priorities.size());
    if (plan_.context != 0) {
        const uint32_t room = std::max(plan_.context, 2u) - 1;
        facts.prompt_tokens = std::min(facts.prompt_tokens, room);
        facts.output_tokens = std::min(facts.output_tokens, plan_.context - facts.prompt_tokens);
    }
    return facts;
}

void RequestMaker::write(const RequestFacts& facts, std::string& out) {
    body_ = common_;
    body_ += ",\"max_tokens\":";
    append_number(body_, facts.output_tokens);
    body_ += ",\"seed\":";
    append_number(body_, facts.number);
    if (!plan_.priorities.empty()) {
        body_ += ",\"priority\":\"";
        body_ += plan_.priorities[facts.priority];
        body_ += '"';
    }
    const bool is_chat = facts.route == Route::kChat;
    if (is_chat) {
        body_ += ",\"messages\":[{\"role\":\"user\",\"content\":\"";
        append_words(facts, body_);
        body_ += "\"}]}";
    } else if (plan_.text_prompts) {
        body_ += ",\"prompt\":\"";
        append_words(facts, body_);
        body_ += "\"}";
    } else {
        body_ += ",\"prompt\":[";
        append_ids(facts, body_);
        body_ += "]}";
    }
    out = is_chat ? "POST /v1/chat/completions HTTP/1.1\r\nHost: "
                  : "POST /v1/completions HTTP/1.1\r\nHost: ";
    out += plan_.host;
    out += "\r\nContent-Type: application/json\r\nContent-Length: ";
    append_number(out, body_.size());
    out += "\r\n\r\n";
    out += body_;
}

void RequestMaker::append_ids(const RequestFacts& facts, std::string& out) const {
    Rng rng(plan_.seed ^ kPromptSeed, facts.number);
    for (uint32_t i = 0; i < facts.prompt_tokens; ++i) {
        if (i > 0) out += ',';
        append_number(
            out, i < prefix_.size() ? prefix_[i] % plan_.vocabulary : rng.below(plan_.vocabulary));
    }
}

// The shared words each by themselves, then a passage of the text.
void RequestMaker::append_words(const RequestFacts& facts, std::string& out) const {
    Rng rng(plan_.seed ^ kPromptSeed, facts.number);
    uint64_t at = rng.below(json_words_.size());
    for (uint32_t i = 0; i < facts.prompt_tokens; ++i)
        out += json_words_[(i < prefix_.size() ? prefix_[i] : at++) % json_words_.size()];
}

}  // namespace bitnetd::bench
