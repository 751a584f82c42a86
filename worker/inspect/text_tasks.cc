#include "worker/inspect/text_tasks.h"

#include "worker/inspect/model_vocabulary.h"

namespace bitnetd::worker {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kJsonDepthMax = 64;
// A value costs up to 100 times its two bytes on the wire.
constexpr size_t kJsonValuesMax = 2'000'000;

// Depth and number of values, before anything is allocated for them. The grammar is the parser's.
Result<void> check_size(std::string_view json) {
    // The parser takes a NUL for the end, whatever stands behind it.
    if (json.find('\0') != json.npos) return invalid("the JSON text has a NUL character");
    size_t depth = 0;
    size_t values = 1;
    bool in_string = false;
    for (size_t i = 0; i < json.size(); ++i) {
        const char c = json[i];
        if (in_string) {
            if (c == '\\') ++i;
            in_string = c != '"';
            continue;
        }
        in_string = c == '"';
        if (c == '[' || c == '{') ++depth;
        if ((c == ']' || c == '}') && depth > 0) --depth;
        if (c == ',' || c == '[' || c == '{') ++values;
        if (depth > kJsonDepthMax) {
            return invalid("the JSON text is nested deeper than " + std::to_string(kJsonDepthMax) +
                           " levels");
        }
        if (values > kJsonValuesMax) {
            return invalid("the JSON text has more than " + std::to_string(kJsonValuesMax) +
                           " values");
        }
    }
    return {};
}

Result<Json> parse_variables(std::string_view text) {
    BITNETD_TRY(check_size(text));
    Json object;
    try {
        object = Json::parse(text);
    } catch (const Json::parse_error& error) {
        return invalid("standard input is not valid JSON: at byte " + std::to_string(error.byte));
    } catch (const Json::exception&) {
        return invalid("standard input holds a number that is too large");
    }
    if (!object.is_object()) return invalid("standard input: expected one JSON object");
    const auto messages = object.find("messages");
    if (messages == object.end() || !messages->is_array()) {
        return invalid("standard input: expected an object with \"messages\", an array");
    }
    return object;
}

void give_default(Json& variables, const char* name, Json value) {
    if (!variables.contains(name)) variables[name] = std::move(value);
}

}  // namespace

Result<std::string> tokenize_text(const ModelInput& input, std::string_view text,
                                  text::EncodeOptions options) {
    BITNETD_ASSIGN(const ModelVocabulary vocabulary, ModelVocabulary::read(input));
    BITNETD_ASSIGN(const auto tokenizer, text::Tokenizer::create(vocabulary.view()));
    BITNETD_ASSIGN(const auto ids, tokenizer.encode(text, options));
    std::string out = "[";
    for (const uint32_t id : ids) {
        if (out.size() > 1) out += ',';
        out += std::to_string(id);
    }
    return out + "]\n";
}

Result<std::string> render_prompt(const ModelInput& input, std::string_view variables,
                                  const std::optional<std::string>& source,
                                  const text::RenderOptions& options) {
    BITNETD_ASSIGN(Json object, parse_variables(variables));
    BITNETD_ASSIGN(const ModelVocabulary vocabulary, ModelVocabulary::read(input));
    const text::VocabularyView& view = vocabulary.view();
    if (!source && view.chat_template().empty()) {
        return invalid("the model has no chat template; give one with --template FILE");
    }
    const auto token_text = [&view](std::optional<uint32_t> id) {
        return id ? std::string(view.text(*id)) : std::string();
    };
    give_default(object, "add_generation_prompt", false);
    give_default(object, "bos_token", token_text(view.bos()));
    give_default(object, "eos_token", token_text(view.eos()));
    auto parsed =
        text::ChatTemplate::parse(source ? std::string_view(*source) : view.chat_template());
    if (!parsed.ok()) return std::move(parsed).error().within("chat template");
    auto prompt = parsed->render(object, options);
    if (!prompt.ok()) return std::move(prompt).error().within("chat template");
    return prompt->str();
}

}  // namespace bitnetd::worker
