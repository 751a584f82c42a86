#include "common/text/tokenizer.h"

#include <algorithm>
#include <string>

#include "common/text/bpe_merger.h"
#include "common/text/spm_merger.h"
#include "common/text/utf8.h"

namespace bitnetd::text {

Result<Tokenizer> Tokenizer::create(VocabularyView vocabulary, size_t text_bytes_max) {
    Tokenizer tokenizer(vocabulary);
    tokenizer.text_bytes_max_ = std::min(text_bytes_max, kTextBytesMax);
    if (vocabulary.model() == VocabularyModel::kBpe) {
        BITNETD_ASSIGN(tokenizer.pre_tokenizer_, PreTokenizer::create(vocabulary.pre_tokenizer()));
    }
    return tokenizer;
}

Result<void> Tokenizer::check_size(size_t bytes) const {
    if (bytes <= text_bytes_max_) return {};
    return Error{ErrorCode::kExhausted, "the text has " + std::to_string(bytes) +
                                            " bytes; at most " + std::to_string(text_bytes_max_) +
                                            " are tokenized"};
}

Result<std::vector<uint32_t>> Tokenizer::encode(std::string_view text,
                                                EncodeOptions options) const {
    BITNETD_TRY(check_size(text.size()));
    std::string repaired;
    if (vocabulary_.model() == VocabularyModel::kBpe && !is_utf8(text)) {
        repaired = replace_ill_formed(text);
        text = repaired;
    }
    std::vector<uint32_t> ids;
    ids.reserve(text.size() / 4 + 2);
    if (options.add_special && vocabulary_.has(kAddBos) && vocabulary_.bos()) {
        ids.push_back(*vocabulary_.bos());
    }
    BITNETD_TRY(encode_fragments(specials_.split(text, options.parse_special, nullptr), ids));
    if (options.add_special && vocabulary_.has(kAddEos) && vocabulary_.eos()) {
        ids.push_back(*vocabulary_.eos());
    }
    return ids;
}

Result<std::vector<uint32_t>> Tokenizer::encode_prompt(const MarkedText& prompt) const {
    BITNETD_TRY(check_size(prompt.size()));
    if (!is_utf8(prompt.str())) return invalid("the prompt is not valid UTF-8");
    const std::vector<Fragment> fragments = specials_.split(prompt.str(), true, &prompt);
    const auto bos = vocabulary_.bos();
    const bool has_bos = bos && !fragments.empty() && fragments.front().id == *bos;
    std::vector<uint32_t> ids;
    ids.reserve(prompt.size() / 4 + 2);
    if (bos && vocabulary_.has(kAddBos) && !has_bos) ids.push_back(*bos);
    BITNETD_TRY(encode_fragments(fragments, ids));
    return ids;
}

Result<void> Tokenizer::encode_fragments(const std::vector<Fragment>& fragments,
                                         std::vector<uint32_t>& out) const {
    if (vocabulary_.model() == VocabularyModel::kBpe) return encode_bpe(fragments, out);
    encode_spm(fragments, out);
    return {};
}

Result<void> Tokenizer::encode_bpe(const std::vector<Fragment>& fragments,
                                   std::vector<uint32_t>& out) const {
    BpeMerger merger(vocabulary_);
    for (const Fragment& fragment : fragments) {
        if (fragment.id != kNoId) {
            out.push_back(fragment.id);
            continue;
        }
        BITNETD_ASSIGN(const auto pieces, pre_tokenizer_->split(fragment.text));
        for (const std::string_view piece : pieces)
            merger.encode(piece, out);
    }
    return {};
}

void Tokenizer::encode_spm(const std::vector<Fragment>& fragments,
                           std::vector<uint32_t>& out) const {
    SpmMerger merger(vocabulary_);
    std::string text;
    bool after_special = true;  // the start of the text counts
    for (const Fragment& fragment : fragments) {
        if (fragment.id != kNoId) {
            out.push_back(fragment.id);
            after_special = true;
            continue;
        }
        text.clear();
        if (after_special && vocabulary_.has(kAddSpacePrefix)) text += "\u2581";
        for (const char c : fragment.text) {
            if (c == ' ')
                text += "\u2581";
            else
                text += c;
        }
        after_special = false;
        merger.encode(text, out);
    }
}

}  // namespace bitnetd::text
