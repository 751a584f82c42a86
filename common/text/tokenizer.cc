#include "common/text/tokenizer.h"

#include <algorithm>
#include <string>

#include "common/text/bpe_merger.h"
#include "common/text/normalise.h"
#include "common/text/spm_merger.h"
#include "common/text/utf8.h"
#include "common/text/word_cache.h"

namespace bitnetd::text {

namespace {

constexpr std::string_view kSpace = "\u2581";  // what SPM vocabularies write for a space

// Where the word at `at` ends: before the first space that follows something else.
size_t word_end(std::string_view text, size_t at) {
    while (text.substr(at).starts_with(kSpace))
        at += kSpace.size();
    return std::min(text.find(kSpace, at), text.size());
}

}  // namespace

Result<Tokenizer> Tokenizer::create(VocabularyView vocabulary, size_t text_bytes_max) {
    Tokenizer tokenizer(vocabulary);
    tokenizer.text_bytes_max_ = std::min(text_bytes_max, kTextBytesMax);
    if (vocabulary.model() == VocabularyModel::kBpe) {
        BITNETD_ASSIGN(tokenizer.pre_tokenizer_, PreTokenizer::create(vocabulary.pre_tokenizer()));
    } else {
        tokenizer.words_are_apart_ = are_words_apart(vocabulary);
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
        std::string_view text = fragment.text;
        std::string normalised;
        if (vocabulary_.has(kNormaliseNfc) && !is_surely_nfc(text)) {
            normalised = to_nfc(text);
            text = normalised;
        }
        BITNETD_ASSIGN(const auto pieces, pre_tokenizer_->split(text));
        WordCache cache(text.size());
        for (const std::string_view piece : pieces) {
            if (cache.replay(piece, out)) continue;
            const size_t begin = out.size();
            merger.encode(piece, out);
            cache.remember(piece, begin, out);
        }
    }
    return {};
}

// Whether no token has U+2581 behind another character.
bool Tokenizer::are_words_apart(const VocabularyView& vocabulary) {
    for (uint32_t id = 0; id < vocabulary.token_count(); ++id) {
        const std::string_view text = vocabulary.text(id);
        if (word_end(text, 0) != text.size()) return false;
    }
    return true;
}

void Tokenizer::encode_spm(const std::vector<Fragment>& fragments,
                           std::vector<uint32_t>& out) const {
    SpmMerger merger(vocabulary_);
    bool after_special = true;  // the start of the text counts
    for (const Fragment& fragment : fragments) {
        if (fragment.id != kNoId) {
            out.push_back(fragment.id);
            after_special = true;
            continue;
        }
        std::string text;
        if (after_special && vocabulary_.has(kAddSpacePrefix)) text += kSpace;
        for (const char c : fragment.text) {
            if (c == ' ')
                text += kSpace;
            else
                text += c;
        }
        after_special = false;
        // In ill-formed text a broken character may swallow the space behind it.
        const bool by_word = words_are_apart_ && is_utf8(fragment.text);
        WordCache cache(text.size());
        for (size_t at = 0; at < text.size();) {
            const size_t end = by_word ? word_end(text, at) : text.size();
            const std::string_view word = std::string_view(text).substr(at, end - at);
            at = end;
            if (cache.replay(word, out)) continue;
            const size_t begin = out.size();
            merger.encode(word, out);
            cache.remember(word, begin, out);
        }
    }
}

}  // namespace bitnetd::text
