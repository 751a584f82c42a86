#include "worker/prepare/vocabulary_from_gguf.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/quote.h"
#include "common/log/log.h"
#include "common/text/pre_tokenizer.h"
#include "common/text/vocabulary_builder.h"

namespace bitnetd::worker {

namespace {

using text::TokenType;
using text::VocabularyBuilder;
using text::VocabularyModel;

constexpr uint64_t kIdMax = 0xFFFFFFFF;

// Tokens that end a generation whatever the file says (tokenizers.md section 5).
constexpr std::string_view kEndTexts[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<turn|>",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<|tool_response>",
    "[e~[",
    "<\uFF5Cend\u2581of\u2581sentence\uFF5C>",
};
// The end of a turn where the file names none, by preference.
constexpr std::string_view kTurnEndTexts[] = {
    "<|eot_id|>",    "<|im_end|>",    "<|end|>",
    "<end_of_turn>", "<|endoftext|>", "<EOT>",
    "_<EOT>",        "[EOT]",         "<\uFF5Cend\u2581of\u2581sentence\uFF5C>",
};

// The template of BitNet b1.58 2B-4T. Its published GGUF carries an older one, known by the word
// BITNET, that the model was not tuned for.
constexpr std::string_view kBitnetTemplate =
    "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ message['role'] | capitalize + ': ' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}";

std::string key(std::string_view name) {
    return "tokenizer.ggml." + std::string(name);
}

// An id key: absent is nothing, and so, with a warning, is an id beyond the vocabulary.
Result<std::optional<uint32_t>> id_of(const gguf::Metadata& keys, std::string_view name,
                                      size_t token_count) {
    BITNETD_ASSIGN(const auto id, keys.integer(key(name), kIdMax));
    if (!id) return std::optional<uint32_t>();
    if (*id >= token_count) {
        log::warn("token_id_ignored", {{"key", key(name)}, {"id", *id}, {"tokens", token_count}});
        return std::optional<uint32_t>();
    }
    return std::optional<uint32_t>(static_cast<uint32_t>(*id));
}

Result<bool> flag_of(const gguf::Metadata& keys, std::string_view name, bool otherwise) {
    BITNETD_ASSIGN(const auto flag, keys.boolean(key(name)));
    return flag.value_or(otherwise);
}

Result<void> read_tokens(const gguf::Metadata& keys, VocabularyBuilder& out) {
    BITNETD_ASSIGN(const auto tokens, gguf::required(key("tokens"), keys.texts(key("tokens"))));
    if (tokens.empty()) return invalid("key tokenizer.ggml.tokens is empty");
    if (tokens.size() > text::kTokensMax) return invalid("more than 2^20 tokens");
    out.tokens.assign(tokens.begin(), tokens.end());

    BITNETD_ASSIGN(const auto types, keys.integers(key("token_type")));
    if (!types) return {};
    if (types->size() < tokens.size()) {
        return invalid("key tokenizer.ggml.token_type has fewer entries than there are tokens");
    }
    out.types.reserve(tokens.size());
    for (size_t id = 0; id < tokens.size(); ++id) {
        const int64_t type = (*types)[id];
        if (type < 0 || type > static_cast<int64_t>(TokenType::kByte)) {
            return invalid("key tokenizer.ggml.token_type: token " + std::to_string(id) +
                           " has the unknown type " + std::to_string(type));
        }
        out.types.push_back(static_cast<TokenType>(type));
    }
    return {};
}

// Some writers store scores as integers.
Result<void> read_scores(const gguf::Metadata& keys, VocabularyBuilder& out) {
    const gguf::Value* value = keys.find(key("scores"));
    if (value == nullptr) return invalid("key tokenizer.ggml.scores is missing");
    const auto* array = std::get_if<gguf::Array>(&value->content);
    if (array != nullptr && array->element == gguf::ValueType::kI32) {
        BITNETD_ASSIGN(const auto scores,
                       gguf::required(key("scores"), keys.integers(key("scores"))));
        for (const int64_t score : scores)
            out.scores.push_back(static_cast<float>(score));
    } else {
        BITNETD_ASSIGN(out.scores, gguf::required(key("scores"), keys.floats(key("scores"))));
    }
    if (out.scores.size() < out.tokens.size()) {
        return invalid("key tokenizer.ggml.scores has fewer entries than there are tokens");
    }
    out.scores.resize(out.tokens.size());
    return {};
}

Result<void> read_merges(const gguf::Metadata& keys, VocabularyBuilder& out) {
    BITNETD_ASSIGN(const auto merges, gguf::required(key("merges"), keys.texts(key("merges"))));
    if (merges.size() > text::kMergesMax) return invalid("more than 2^21 merges");
    out.merges.reserve(merges.size());
    for (size_t rank = 0; rank < merges.size(); ++rank) {
        if (!out.add_merge(merges[rank])) {
            return invalid("key tokenizer.ggml.merges: entry " + std::to_string(rank) + ", " +
                           quote(merges[rank]) + ", is not two texts with a space between");
        }
    }
    return {};
}

// The published BitNet 2B-4T file names no pre-tokenizer; it was trained with Llama 3's.
bool is_bitnet_2b(const VocabularyBuilder& vocabulary) {
    constexpr size_t kTokens = 128'256, kBegin = 128'000;
    return vocabulary.tokens.size() == kTokens && vocabulary.tokens[kBegin] == "<|begin_of_text|>";
}

Result<void> read_bpe(const gguf::Metadata& keys, VocabularyBuilder& out) {
    BITNETD_TRY(read_merges(keys, out));
    BITNETD_ASSIGN(const auto pre, keys.text(key("pre")));
    if (pre)
        out.pre_tokenizer = *pre;
    else if (is_bitnet_2b(out))
        out.pre_tokenizer = "llama-bpe";
    const text::PreTokenizerRow* row = text::find_pre_tokenizer(out.pre_tokenizer);
    if (row == nullptr) {
        return unsupported("key tokenizer.ggml.pre: pre-tokenizer " + quote(out.pre_tokenizer) +
                           " is not known to this build");
    }
    BITNETD_ASSIGN(const auto ignore_merges, keys.boolean("bitnetd.tokenizer.ignore_merges"));
    out.ignore_merges = ignore_merges.value_or(row->ignore_merges);
    BITNETD_ASSIGN(const auto nfc, keys.boolean("bitnetd.tokenizer.nfc"));
    out.normalise_nfc = nfc.value_or(false);
    out.add_bos = row->add_bos;
    constexpr uint32_t kDefaultId = 11;
    if (out.tokens.size() > kDefaultId) out.bos = out.eos = kDefaultId;
    return {};
}

Result<void> read_spm(const gguf::Metadata& keys, VocabularyBuilder& out) {
    BITNETD_TRY(read_scores(keys, out));
    out.add_bos = true;
    out.add_space_prefix = true;
    const size_t count = out.tokens.size();
    if (count > 0) out.unknown = 0;
    if (count > 1) out.bos = 1;
    if (count > 2) out.eos = 2;
    return {};
}

Result<void> read_model(const gguf::Metadata& keys, VocabularyBuilder& out) {
    BITNETD_ASSIGN(const auto model, gguf::required(key("model"), keys.text(key("model"))));
    if (model == "gpt2") {
        out.model = VocabularyModel::kBpe;
        return read_bpe(keys, out);
    }
    if (model == "llama") {
        out.model = VocabularyModel::kSpm;
        return read_spm(keys, out);
    }
    return unsupported("key tokenizer.ggml.model: " + quote(model) +
                       " is neither \"gpt2\" nor \"llama\"");
}

// Ids of the key `name`, each a token.
Result<void> read_ids(const gguf::Metadata& keys, const std::string& name, size_t token_count,
                      std::vector<uint32_t>& out) {
    BITNETD_ASSIGN(const auto ids, keys.integers(name));
    if (!ids) return {};
    for (const int64_t id : *ids) {
        if (id < 0 || id >= static_cast<int64_t>(token_count)) {
            return invalid("key " + name + ": " + std::to_string(id) + " is no token");
        }
        out.push_back(static_cast<uint32_t>(id));
    }
    return {};
}

// Ids and flags that the file may set over the model's defaults.
Result<void> read_overrides(const gguf::Metadata& keys, VocabularyBuilder& out) {
    const std::pair<std::string_view, std::optional<uint32_t>*> ids[] = {
        {"bos_token_id", &out.bos},         {"eos_token_id", &out.eos},
        {"unknown_token_id", &out.unknown}, {"padding_token_id", &out.padding},
        {"eot_token_id", &out.eot},
    };
    BITNETD_ASSIGN(const auto no_defaults, keys.boolean("bitnetd.tokenizer.no_default_ids"));
    for (const auto& [name, place] : ids) {
        if (no_defaults.value_or(false)) place->reset();
        BITNETD_ASSIGN(const auto id, id_of(keys, name, out.tokens.size()));
        if (id) *place = id;
    }
    const std::pair<std::string_view, bool*> flags[] = {
        {"add_bos_token", &out.add_bos},
        {"add_eos_token", &out.add_eos},
        {"add_space_prefix", &out.add_space_prefix},
    };
    for (const auto& [name, place] : flags) {
        BITNETD_ASSIGN(*place, flag_of(keys, name, *place));
    }
    return read_ids(keys, key("suppress_tokens"), out.tokens.size(), out.suppressed);
}

// The set of ids that end a generation, and the end of a turn when the file names none.
Result<void> find_ends(const gguf::Metadata& keys, VocabularyBuilder& out) {
    for (const std::string_view name :
         {"eom_token_id", "fim_pad_token_id", "fim_rep_token_id", "fim_sep_token_id"}) {
        BITNETD_ASSIGN(const auto id, id_of(keys, name, out.tokens.size()));
        if (id) out.end_ids.push_back(*id);
    }
    BITNETD_TRY(read_ids(keys, "bitnetd.tokenizer.end_ids", out.tokens.size(), out.end_ids));
    std::array<std::optional<uint32_t>, std::size(kTurnEndTexts)> turn_ends;
    for (uint32_t id = 0; id < out.tokens.size(); ++id) {
        const std::string& token = out.tokens[id];
        if (std::find(std::begin(kEndTexts), std::end(kEndTexts), token) == std::end(kEndTexts)) {
            continue;
        }
        out.end_ids.push_back(id);
        if (!out.types.empty()) out.types[id] = TokenType::kControl;  // never printed
        const auto* place = std::find(std::begin(kTurnEndTexts), std::end(kTurnEndTexts), token);
        if (place != std::end(kTurnEndTexts)) turn_ends[place - kTurnEndTexts] = id;
    }
    for (const auto& id : turn_ends) {
        if (!out.eot) out.eot = id;
    }
    for (const auto& id : {out.eos, out.eot}) {
        if (id) out.end_ids.push_back(*id);
    }
    return {};
}

Result<void> read_chat_template(const gguf::Metadata& keys, VocabularyBuilder& out) {
    BITNETD_ASSIGN(const auto source, keys.text("tokenizer.chat_template"));
    if (!source) return {};
    const bool old_bitnet = source->find("BITNET") != std::string_view::npos;
    out.chat_template = old_bitnet ? kBitnetTemplate : *source;
    return {};
}

}  // namespace

Result<std::vector<std::byte>> vocabulary_from_gguf(const gguf::Metadata& keys) {
    VocabularyBuilder vocabulary;
    BITNETD_TRY(read_tokens(keys, vocabulary));
    BITNETD_TRY(read_model(keys, vocabulary));
    BITNETD_TRY(read_overrides(keys, vocabulary));
    BITNETD_TRY(find_ends(keys, vocabulary));
    BITNETD_TRY(read_chat_template(keys, vocabulary));
    return vocabulary.build();
}

}  // namespace bitnetd::worker
