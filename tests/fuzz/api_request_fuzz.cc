// Goal: no request body, however malformed, makes prepare(), prepare_embeddings(), a text route or
//   an operator's order crash, run away or hand on something that dispatch or the supervisor would
//   not believe (ids beyond the vocabulary, an empty prompt, a full context, a text without an end)
//   or that is no JSON.
// Method: the first byte picks the route and strictness, the rest is the body; against a tiny
//   model.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string_view>

#include "common/text/byte_alphabet.h"
#include "common/text/utf8.h"
#include "common/text/vocabulary_builder.h"
#include "shm/control/text_field.h"
#include "supervisor/frontend/api/embeddings_request.h"
#include "supervisor/frontend/api/order_request.h"
#include "supervisor/frontend/api/prepare.h"
#include "supervisor/frontend/api/prompt_echo.h"
#include "supervisor/frontend/api/text_routes.h"

namespace bitnetd::frontend {
namespace {

constexpr uint32_t kContext = 256;
constexpr uint32_t kHidden = 8;

void require(bool condition) {
    if (!condition) std::abort();
}

// Every byte a token, and the special tokens of a small chat template.
std::vector<std::byte> make_image() {
    text::VocabularyBuilder builder;
    for (uint32_t byte = 0; byte < 256; ++byte) {
        std::string mapped;
        text::append_utf8(mapped, text::byte_to_alphabet(static_cast<uint8_t>(byte)));
        builder.tokens.push_back(mapped);
    }
    for (const char* special : {"<|begin|>", "<|end|>"})
        builder.tokens.emplace_back(special);
    builder.types.assign(builder.tokens.size(), text::TokenType::kNormal);
    builder.types[256] = builder.types[257] = text::TokenType::kControl;
    builder.merges = {{"h", "e"}};
    builder.bos = 256;
    builder.eos = 257;
    builder.end_ids = {257};
    builder.add_bos = true;
    builder.pre_tokenizer = "llama-bpe";
    builder.chat_template =
        "{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content | trim }}<|end|>"
        "{% endfor %}";
    auto image = builder.build();
    require(image.ok());
    return std::move(image).value();
}

const ModelList& models() {
    static const ModelList list = [] {
        const auto image = std::make_shared<const std::vector<std::byte>>(make_image());
        shm::ModelMessage message{};
        message.model_key = 1;
        message.is_default = 1;
        shm::set_field(message.id, "tiny");
        message.facts.vocab = 258;
        message.facts.context = kContext;
        message.facts.hidden = kHidden;
        auto model = Model::open(message, image, *image, {});
        require(model.ok());
        return ModelList{std::move(model).value()};
    }();
    return list;
}

void check_ids(const Prompt& prompt, size_t count_max) {
    require(!prompt.ids->empty() && prompt.ids->size() <= count_max);
    for (const uint32_t id : *prompt.ids)
        require(id < models()[0]->vocab);
}

// Every token that the caller sent gets its entry, and all of it is text.
void check_echo(const Model& model, const Prompt& prompt) {
    const uint32_t count = static_cast<uint32_t>(prompt.ids->size());
    require(prompt.own_begin <= prompt.own_end && prompt.own_end <= count);
    PromptEcho echo(model.vocabulary(), prompt);
    FreshTokens scores;
    for (uint32_t i = 1; i < count; ++i)
        scores.add((*prompt.ids)[i], -1, {});
    echo.take({scores.tokens, scores.alternatives});
    require(echo.is_complete());
    const auto entries = echo.take_entries();
    require(entries.size() == prompt.own_end - prompt.own_begin);
    for (const ScoredToken& entry : entries)
        require(text::is_utf8(entry.text));
}

void check(const Prepared& prepared) {
    const GenerationParams& params = prepared.params;
    require(prepared.model != nullptr && !prepared.prompts.empty());
    require(params.n >= 1 && params.n <= params.best_of && params.best_of <= kChoicesMax);
    require(params.stops.size() <= kStopsMax && params.top_logprobs <= shm::kLogprobsMax);
    require(params.sampling.temperature >= 0 && params.sampling.temperature <= 2);
    require(params.sampling.top_p > 0 && params.sampling.top_p <= 1);
    for (const shm::LogitBias& bias : params.bias)
        require(bias.token < prepared.model->vocab);
    for (const Prompt& prompt : prepared.prompts) {
        check_ids(prompt, params.max_tokens == 0u ? kContext : kContext - 1);
        const uint32_t limit = prepared.position_limit(prompt);
        require(limit <= kContext && limit >= prompt.ids->size());
        require(params.echo || limit > prompt.ids->size());
        if (params.scores_prompt()) check_echo(*prepared.model, prompt);
    }
}

void check(const EmbeddingsRequest& request) {
    require(request.model != nullptr && !request.inputs.empty());
    require(request.dimensions >= 1 && request.dimensions <= kHidden);
    require(request.service.timeout_ms >= 1);
    for (const Prompt& input : request.inputs)
        check_ids(input, kContext);
}

template <size_t N>
void check_text(const char (&field)[N], bool may_be_empty) {
    const size_t bytes = shm::field_text(field).size();
    require(bytes < N && (may_be_empty || bytes > 0));
    for (size_t i = bytes; i < N; ++i)
        require(field[i] == 0);  // no stale bytes
}

void check(const shm::OrderMessage& order) {
    const bool has_path =
        order.kind == shm::OrderKind::kLoad || order.kind == shm::OrderKind::kSwap;
    check_text(order.model, false);
    check_text(order.path, !has_path);
    require(has_path || order.path[0] == '\0');
    require(order.strategy <= shm::SwapStrategy::kBlueGreen && order.rollback_on_failure <= 1);
    require(order.timeout_s <= kOrderTimeoutMaxS);
    require(order.accuracy_min >= 0 && order.accuracy_min <= 1);
    require(order.test_prompts <= std::size(order.prompts));
    for (uint32_t i = 0; i < std::size(order.prompts); ++i)
        check_text(order.prompts[i], i >= order.test_prompts);
}

void check_error(const ApiError& error) {
    require(error.status == 400 || error.status == 404);
    require(!error.message.empty());
    require(nlohmann::json::accept(error_body(error, "id")));
}

// '0' and '2' completions, '1' and '3' chat; '@' and 'B' inference, 'A' and 'C' its stream.
RouteKind route_of(uint8_t byte) {
    const bool is_odd = (byte & 1) != 0;
    if ((byte & 64) != 0) return is_odd ? RouteKind::kInferenceStream : RouteKind::kInference;
    return is_odd ? RouteKind::kChat : RouteKind::kCompletions;
}

void fuzz_text_route(TextRoute route, std::string_view body, const RequestLimits& limits) {
    const TextAnswer answer = answer_text_route(route, body, models(), limits);
    if (const auto* error = std::get_if<ApiError>(&answer)) return check_error(*error);
    require(nlohmann::json::accept(std::get<std::string>(answer)));
}

void fuzz_embeddings(std::string_view body, const RequestLimits& limits) {
    const EmbeddingsResult result = prepare_embeddings(body, models(), limits);
    if (const auto* request = std::get_if<EmbeddingsRequest>(&result)) return check(*request);
    check_error(std::get<ApiError>(result));
}

// Of a removal the text is "ID?QUERY".
OrderResult read_any_order(uint8_t kind, std::string_view text, bool is_strict) {
    if (kind < 3) {
        return read_order(static_cast<shm::OrderKind>(kind + 1), text, models(), is_strict);
    }
    const size_t question = std::min(text.find('?'), text.size());
    const size_t query = std::min(question + 1, text.size());
    return read_removal(text.substr(0, question), text.substr(query), models());
}

void fuzz_order(uint8_t kind, std::string_view text, bool is_strict) {
    const OrderResult result = read_any_order(kind, text, is_strict);
    if (const auto* order = std::get_if<Order>(&result)) return check(order->message);
    check_error(std::get<ApiError>(result));
}

}  // namespace
}  // namespace bitnetd::frontend

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace bitnetd::frontend;
    if (size == 0) return 0;
    const std::string_view body(reinterpret_cast<const char*>(data + 1), size - 1);
    RequestLimits limits;
    limits.strict = (data[0] & 2) != 0;
    const uint8_t two_bits = data[0] >> 2 & 3;
    if ((data[0] & 192) == 192) {  // 0xc0 load, 0xc4 swap, 0xc8 rollback, 0xcc removal
        fuzz_order(two_bits, body, limits.strict);
        return 0;
    }
    if ((data[0] & 128) != 0) {  // 0x80, and strict 0x82
        fuzz_embeddings(body, limits);
        return 0;
    }
    if (two_bits != 0) {  // '4'.. tokenize, '8'.. detokenize, '<'.. template
        fuzz_text_route(static_cast<TextRoute>(two_bits - 1), body, limits);
        return 0;
    }
    const RouteKind route = route_of(data[0]);
    const PrepareResult result = prepare(route, body, models(), limits);
    if (const auto* prepared = std::get_if<Prepared>(&result)) {
        check(*prepared);
    } else {
        check_error(std::get<ApiError>(result));
    }
    return 0;
}
