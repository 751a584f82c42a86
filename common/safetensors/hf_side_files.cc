#include "common/safetensors/hf_side_files.h"

#include "common/safetensors/strict_json.h"

namespace bitnetd::safetensors {
namespace {

// A text, or an object that describes an added token and has it as "content".
Found<std::string> token(const Fields& fields, std::string_view key) {
    const nlohmann::json* const value = fields.find(key);
    if (value == nullptr || !value->is_object()) return fields.text(key);
    return Fields(*value, std::string(key) + ".").text("content");
}

// A text, or a list of {"name", "template"}.
Found<std::string> chat_template(const Fields& fields) {
    constexpr std::string_view kKey = "chat_template";
    const nlohmann::json* const value = fields.find(kKey);
    if (value == nullptr || !value->is_array()) return fields.text(kKey, kChatTemplateBytesMax);
    for (const nlohmann::json& entry : *value) {
        if (!entry.is_object()) return fields.wrong(kKey, "a text or a list of templates");
        const Fields named(entry, "chat_template[].");
        std::string name;
        BITNETD_FIELD(name, named.text("name"));
        if (name == "default") return named.text("template", kChatTemplateBytesMax);
    }
    return std::optional<std::string>();
}

}  // namespace

Result<GenerationConfig> parse_generation_config(std::string_view text, uint64_t vocab_size) {
    BITNETD_ASSIGN(const nlohmann::json json, parse_json_object(text, kSideFileBytesMax));
    const Fields fields(json);
    GenerationConfig out;
    std::vector<uint64_t> ids;
    BITNETD_FIELD(ids, fields.integers("bos_token_id", vocab_size - 1));
    if (!ids.empty()) out.bos_id = static_cast<uint32_t>(ids[0]);
    ids.clear();
    BITNETD_FIELD(ids, fields.integers("eos_token_id", vocab_size - 1));
    out.eos_ids.assign(ids.begin(), ids.end());
    BITNETD_FIELD(out.do_sample, fields.boolean("do_sample"));
    BITNETD_FIELD(out.temperature, fields.number("temperature", 0, 1000));
    BITNETD_FIELD(out.top_p, fields.number("top_p", 0, 1));
    BITNETD_FIELD(out.top_k, fields.integer("top_k", 0, UINT32_MAX));
    BITNETD_FIELD(out.repetition_penalty, fields.number("repetition_penalty", 0, 1000));
    return out;
}

Result<TokenizerConfig> parse_tokenizer_config(std::string_view text) {
    BITNETD_ASSIGN(const nlohmann::json json, parse_json_object(text, kSideFileBytesMax));
    const Fields fields(json);
    TokenizerConfig out;
    BITNETD_FIELD(out.tokenizer_class, fields.text("tokenizer_class"));
    BITNETD_FIELD(out.bos_token, token(fields, "bos_token"));
    BITNETD_FIELD(out.eos_token, token(fields, "eos_token"));
    BITNETD_FIELD(out.pad_token, token(fields, "pad_token"));
    BITNETD_FIELD(out.add_bos_token, fields.boolean("add_bos_token"));
    BITNETD_FIELD(out.add_eos_token, fields.boolean("add_eos_token"));
    BITNETD_FIELD(out.chat_template, chat_template(fields));
    return out;
}

Result<Pooling> parse_pooling(std::string_view text) {
    struct Mode {
        std::string_view key;
        Pooling pooling;
    };
    constexpr Mode kModes[] = {{"pooling_mode_mean_tokens", Pooling::kMean},
                               {"pooling_mode_cls_token", Pooling::kFirst},
                               {"pooling_mode_lasttoken", Pooling::kLast}};
    BITNETD_ASSIGN(const nlohmann::json json, parse_json_object(text, kSideFileBytesMax));
    const Fields fields(json);
    std::optional<Pooling> out;
    size_t chosen = 0;
    for (const auto& [key, value] : json.items()) {
        if (!key.starts_with("pooling_mode_")) continue;
        bool on = false;
        BITNETD_FIELD(on, fields.boolean(key));
        if (!on) continue;
        ++chosen;
        for (const Mode& mode : kModes) {
            if (mode.key == key) out = mode.pooling;
        }
    }
    if (chosen == 1 && out) return *out;
    return unsupported(
        "exactly one of pooling_mode_mean_tokens, pooling_mode_cls_token and "
        "pooling_mode_lasttoken must be true, and no other mode");
}

}  // namespace bitnetd::safetensors
