#include "worker/prepare/hf_tokenizer.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/quote.h"
#include "common/log/log.h"
#include "common/safetensors/hf_side_files.h"
#include "common/safetensors/tokenizer_json.h"
#include "common/text/pre_tokenizer.h"
#include "common/text/vocabulary_image.h"
#include "worker/prepare/hf_keys.h"
#include "worker/prepare/hf_merge_scores.h"
#include "worker/prepare/hf_pipeline.h"

namespace bitnetd::worker {
namespace {

using safetensors::AddedToken;
using safetensors::GenerationConfig;
using safetensors::ModelConfig;
using safetensors::TokenizerConfig;
using safetensors::TokenizerJson;
using text::TokenType;

std::string key(std::string_view name) {
    return "tokenizer.ggml." + std::string(name);
}
std::string own_key(std::string_view name) {
    return "bitnetd.tokenizer." + std::string(name);
}

// "<0xE2>", the spelling of a byte's token.
bool is_byte_token(std::string_view text) {
    constexpr std::string_view kHex = "0123456789ABCDEF";
    return text.size() == 6 && text.starts_with("<0x") && text[5] == '>' &&
           kHex.find(text[3]) != kHex.npos && kHex.find(text[4]) != kHex.npos;
}

// GGUF files have plain spaces in tokens that are found in raw text.
std::string with_plain_spaces(std::string text) {
    constexpr std::string_view kSpmSpace = "\u2581";
    for (size_t at = text.find(kSpmSpace); at != text.npos; at = text.find(kSpmSpace, at + 1))
        text.replace(at, kSpmSpace.size(), " ");
    return text;
}

class Writer {
  public:
    Writer(const TokenizerJson& json, const HfPipeline& pipeline, const ModelConfig& model,
           gguf::Metadata& out)
        : json_(json), pipeline_(pipeline), model_(model), out_(out) {}

    Result<void> write_tokens();
    Result<void> write_merges();
    Result<void> write_ids(const TokenizerConfig& config, const GenerationConfig& generation);
    Result<void> write_flags(const TokenizerConfig& config);

  private:
    Result<void> place_vocabulary();
    Result<void> place_added();
    Result<void> place_added(const AddedToken& added);
    Result<void> mark_bytes();
    void mark_unknown();
    std::optional<uint32_t> find(const std::optional<std::string>& text) const;

    const TokenizerJson& json_;
    const HfPipeline& pipeline_;
    const ModelConfig& model_;
    gguf::Metadata& out_;
    std::vector<std::string> tokens_;  // by id
    std::vector<int32_t> types_;       // TokenType
};

Result<void> Writer::write_tokens() {
    tokens_.resize(model_.vocab_size);
    types_.assign(model_.vocab_size, static_cast<int32_t>(TokenType::kUnused));
    BITNETD_TRY(place_vocabulary());
    if (!pipeline_.byte_level) BITNETD_TRY(mark_bytes());
    BITNETD_TRY(place_added());
    if (!pipeline_.byte_level) mark_unknown();
    for (size_t id = 0; id < tokens_.size(); ++id) {
        if (types_[id] == static_cast<int32_t>(TokenType::kUnused)) {
            tokens_[id] = "[PAD" + std::to_string(id) + "]";
        }
    }
    put_text(out_, key("model"), pipeline_.byte_level ? "gpt2" : "llama");
    put_texts(out_, key("tokens"), tokens_);
    put_i32s(out_, key("token_type"), types_);
    return {};
}

Result<void> Writer::place_vocabulary() {
    for (const auto& [text, id] : json_.vocabulary) {
        if (id >= tokens_.size()) {
            return invalid("model.vocab gives token " + quote(text) + " the id " +
                           std::to_string(id) + ", but config.json's vocab_size is " +
                           std::to_string(tokens_.size()));
        }
        tokens_[id] = text;
        types_[id] = static_cast<int32_t>(TokenType::kNormal);
    }
    return {};
}

Result<void> Writer::place_added() {
    size_t flagged = 0;
    for (const AddedToken& added : json_.added) {
        BITNETD_TRY(place_added(added));
        if (added.strips || added.single_word) ++flagged;
    }
    if (flagged > 0) {
        log::warn("token_flags_ignored",
                  {{"flags", "lstrip, rstrip, single_word"}, {"tokens", flagged}});
    }
    return {};
}

Result<void> Writer::place_added(const AddedToken& added) {
    if (added.id >= tokens_.size()) {
        // Such as the images of models whose text part has no row for them.
        log::warn("token_ignored",
                  {{"token", quote(added.text)}, {"id", added.id}, {"vocab_size", tokens_.size()}});
        return {};
    }
    const bool taken = types_[added.id] != static_cast<int32_t>(TokenType::kUnused);
    if (taken && tokens_[added.id] != added.text) {
        return invalid("added_tokens gives " + quote(added.text) + " the id " +
                       std::to_string(added.id) + ", which is " + quote(tokens_[added.id]) +
                       " in model.vocab");
    }
    tokens_[added.id] = added.special ? added.text : with_plain_spaces(added.text);
    types_[added.id] =
        static_cast<int32_t>(added.special ? TokenType::kControl : TokenType::kUserDefined);
    return {};
}

Result<void> Writer::mark_bytes() {
    size_t count = 0;
    for (const auto& [text, id] : json_.vocabulary) {
        if (!is_byte_token(text)) continue;
        types_[id] = static_cast<int32_t>(TokenType::kByte);
        ++count;
    }
    if (count == 256) return {};
    return unsupported(
        "model.byte_fallback needs the 256 tokens <0x00> to <0xFF>; model.vocab has " +
        std::to_string(count));
}

void Writer::mark_unknown() {
    const auto name = json_.model.find("unk_token");
    if (name == json_.model.end() || !name->is_string()) return;
    const auto id = find(name->get<std::string>());
    if (!id) return;
    types_[*id] = static_cast<int32_t>(TokenType::kUnknown);
    put_u32(out_, key("unknown_token_id"), *id);
}

std::optional<uint32_t> Writer::find(const std::optional<std::string>& text) const {
    if (!text) return std::nullopt;
    const auto at = std::find(tokens_.begin(), tokens_.end(), *text);
    if (at == tokens_.end()) return std::nullopt;
    return static_cast<uint32_t>(at - tokens_.begin());
}

Result<void> Writer::write_merges() {
    BITNETD_ASSIGN(const std::vector<float> scores, merge_scores(json_));
    if (!pipeline_.byte_level) {
        std::vector<float> by_id(tokens_.size(), 0.0f);
        for (size_t i = 0; i < scores.size(); ++i)
            by_id[json_.vocabulary[i].second] = scores[i];
        put_f32s(out_, key("scores"), by_id);
        return {};
    }
    std::vector<std::string> lines;
    lines.reserve(json_.merges.size());
    for (const auto& [left, right] : json_.merges) {
        if ((left + right).find(' ') != std::string::npos) {
            return invalid("model.merges entry " + std::to_string(lines.size()) +
                           " holds a space, which the byte alphabet does not have");
        }
        lines.push_back(left + " " + right);
    }
    put_texts(out_, key("merges"), std::move(lines));
    put_text(out_, key("pre"), pipeline_.pre);
    return {};
}

// What stands around a text names BOS and EOS best, then the tokenizer's own names, then the
// numbers in the models' files.
Result<void> Writer::write_ids(const TokenizerConfig& config, const GenerationConfig& generation) {
    for (const auto& id : {pipeline_.first_id, pipeline_.last_id}) {
        if (id && *id >= tokens_.size()) {
            return invalid("post_processor: the id " + std::to_string(*id) + " is no token");
        }
    }
    const auto& ends = generation.eos_ids.empty() ? model_.eos_ids : generation.eos_ids;
    std::optional<uint32_t> bos = pipeline_.first_id;
    if (!bos) bos = find(config.bos_token);
    if (!bos) bos = generation.bos_id;
    if (!bos) bos = model_.bos_id;
    std::optional<uint32_t> eos = pipeline_.last_id;
    if (!eos) eos = find(config.eos_token);
    if (!eos && !ends.empty()) eos = ends.front();
    std::optional<uint32_t> pad = find(config.pad_token);
    if (!pad) pad = model_.pad_id;

    put_bool(out_, own_key("no_default_ids"), true);
    if (bos) put_u32(out_, key("bos_token_id"), *bos);
    if (eos) put_u32(out_, key("eos_token_id"), *eos);
    if (pad) put_u32(out_, key("padding_token_id"), *pad);
    if (ends.empty()) return {};
    put_i32s(out_, own_key("end_ids"), std::vector<int32_t>(ends.begin(), ends.end()));
    return {};
}

Result<void> Writer::write_flags(const TokenizerConfig& config) {
    bool add_bos = pipeline_.first_id.has_value();
    bool add_eos = pipeline_.last_id.has_value();
    // These classes make the template anew, by their settings.
    if (config.tokenizer_class.starts_with("Llama") ||
        config.tokenizer_class.starts_with("Gemma")) {
        add_bos = config.add_bos_token.value_or(add_bos);
        add_eos = config.add_eos_token.value_or(add_eos);
    }
    put_bool(out_, key("add_bos_token"), add_bos);
    put_bool(out_, key("add_eos_token"), add_eos);
    if (!pipeline_.byte_level) {
        put_bool(out_, key("add_space_prefix"), pipeline_.add_space_prefix);
        return {};
    }
    const auto ignore = json_.model.find("ignore_merges");
    const bool ignore_merges = ignore != json_.model.end() && *ignore == true;
    if (ignore_merges != text::find_pre_tokenizer(pipeline_.pre)->ignore_merges) {
        put_bool(out_, own_key("ignore_merges"), ignore_merges);
    }
    if (pipeline_.normalise_nfc) put_bool(out_, own_key("nfc"), true);
    return {};
}

// The parse of a file that may be absent; nothing in it then.
template <typename T, typename Parse>
Result<T> parse_if(const std::optional<std::string>& text, std::string_view name, Parse parse) {
    if (!text) return T{};
    Result<T> parsed = parse(*text);
    if (!parsed) return std::move(parsed).error().within(name);
    return parsed;
}

Result<void> add_keys(const HfTokenizerTexts& texts, const TokenizerConfig& config,
                      const GenerationConfig& generation, const ModelConfig& model,
                      gguf::Metadata& out) {
    BITNETD_ASSIGN(const TokenizerJson json, safetensors::parse_tokenizer_json(texts.tokenizer));
    BITNETD_ASSIGN(const HfPipeline pipeline, read_pipeline(json));
    Writer writer(json, pipeline, model, out);
    BITNETD_TRY(writer.write_tokens());
    BITNETD_TRY(writer.write_merges());
    BITNETD_TRY(writer.write_ids(config, generation));
    return writer.write_flags(config);
}

}  // namespace

Result<void> add_tokenizer_keys(const HfTokenizerTexts& texts, const ModelConfig& model,
                                gguf::Metadata& out) {
    BITNETD_ASSIGN(const auto config,
                   parse_if<TokenizerConfig>(texts.tokenizer_config, "tokenizer_config.json",
                                             safetensors::parse_tokenizer_config));
    BITNETD_ASSIGN(const auto generation,
                   parse_if<GenerationConfig>(texts.generation_config, "generation_config.json",
                                              [&](std::string_view text) {
                                                  return safetensors::parse_generation_config(
                                                      text, model.vocab_size);
                                              }));
    auto added = add_keys(texts, config, generation, model, out);
    if (!added) return std::move(added).error().within("tokenizer.json");
    const auto& source = texts.chat_template ? texts.chat_template : config.chat_template;
    if (source) put_text(out, "tokenizer.chat_template", *source);
    return {};
}

}  // namespace bitnetd::worker
