#include "supervisor/frontend/api/text_routes.h"

#include <charconv>
#include <memory>
#include <optional>
#include <vector>

#include "common/text/detokenizer.h"
#include "supervisor/frontend/api/json_text.h"
#include "supervisor/frontend/api/prepare.h"

namespace bitnetd::frontend {
namespace {

std::string tokens_body(const std::vector<uint32_t>& ids) {
    std::string body = R"({"tokens":[)";
    char digits[16];
    for (const uint32_t id : ids) {
        const auto end = std::to_chars(digits, digits + sizeof digits, id).ptr;
        body.append(digits, end);
        body += ',';
    }
    if (!ids.empty()) body.pop_back();
    return body + R"(],"count":)" + std::to_string(ids.size()) + "}";
}

std::string text_body(std::string_view name, std::string_view text) {
    std::string body = "{\"" + std::string(name) + "\":";
    append_json_string(body, text);
    return body + "}";
}

// `content`, or `prompt` as other servers call it.
std::optional<std::string> read_content(Fields& fields, const RequestLimits& limits) {
    auto content = fields.text("content", limits.text_bytes_max);
    auto prompt = fields.text("prompt", limits.text_bytes_max);
    if (content && prompt)
        fields.fail(
            invalid_value("prompt", "'content' and 'prompt' are the same field: send one."));
    if (!content && !prompt) fields.fail(missing_field("content"));
    return content ? std::move(content) : std::move(prompt);
}

std::string tokenize(Fields& fields, const RequestLimits& limits, const Model& model) {
    const auto content = read_content(fields, limits);
    const text::EncodeOptions options{
        .add_special = fields.boolean("add_special").value_or(false),
        .parse_special = fields.boolean("parse_special").value_or(true)};
    if (fields.failed()) return {};
    const auto ids = model.tokenizer.encode(*content, options);
    if (ids.ok()) return tokens_body(*ids);
    fields.fail(invalid_value("content", ids.error().message));
    return {};
}

// Special tokens are printed, and the space that an SPM vocabulary puts in front is not: what
// /tokenize made comes back as it was.
std::string detokenize(Fields& fields, const RequestLimits& limits, const Model& model) {
    const OrderedJson* list = fields.find("tokens");
    if (list == nullptr) {
        fields.fail(missing_field("tokens"));
        return {};
    }
    const std::string expected =
        "an array of ids below the vocabulary's size of " + std::to_string(model.vocab);
    if (!list->is_array()) fields.wrong("tokens", expected);
    if (fields.failed()) return {};
    text::Detokenizer detokenizer(
        model.vocabulary(), {.print_special = true,
                             .strip_leading_space = model.vocabulary().has(text::kAddSpacePrefix)});
    std::string text;
    for (const OrderedJson& id : *list) {
        if (!id.is_number_unsigned() || id.get<uint64_t>() >= model.vocab) {
            fields.wrong("tokens", expected);
            return {};
        }
        detokenizer.push(id.get<uint32_t>(), text);
        if (text.size() > limits.text_bytes_max) {
            fields.wrong("tokens",
                         "text of at most " + std::to_string(limits.text_bytes_max) + " bytes");
            return {};
        }
    }
    detokenizer.flush(text);
    return text_body("content", text);
}

std::string apply_template(Fields& fields, const RequestLimits& limits, const Model& model) {
    Conversation conversation;
    conversation.messages = read_messages(fields);
    conversation.tools = read_tools(fields);
    conversation.add_generation_prompt = fields.boolean("add_generation_prompt").value_or(true);
    if (fields.failed()) return {};
    const auto prompt = render_conversation(fields, limits, model, std::move(conversation));
    return prompt ? text_body("prompt", prompt->str()) : std::string();
}

}  // namespace

TextAnswer answer_text_route(TextRoute route, std::string_view body, const ModelList& models,
                             const RequestLimits& limits) {
    OrderedJson json;
    if (auto error = parse_json_object(body, json)) return *error;
    Fields fields(json);
    const std::string name = fields.text("model", 256).value_or("");
    if (fields.failed()) return *fields.error();
    const std::shared_ptr<const Model> model = find_model(models, name);
    if (model == nullptr) return model_not_found(name);
    std::string answer;
    switch (route) {
        case TextRoute::kTokenize:
            answer = tokenize(fields, limits, *model);
            break;
        case TextRoute::kDetokenize:
            answer = detokenize(fields, limits, *model);
            break;
        case TextRoute::kApplyTemplate:
            answer = apply_template(fields, limits, *model);
            break;
    }
    if (limits.strict) fields.refuse_unknown();
    if (fields.failed()) return *fields.error();
    return answer;
}

}  // namespace bitnetd::frontend
