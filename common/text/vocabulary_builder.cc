#include "common/text/vocabulary_builder.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <unordered_map>

#include "common/base/bytes.h"
#include "common/text/byte_alphabet.h"
#include "common/text/utf8.h"

namespace bitnetd::text {

namespace {

constexpr std::string_view kSpmSpace = "\xE2\x96\x81";  // U+2581

Error bad(std::string what) {
    return invalid("vocabulary: " + std::move(what));
}

// "<0xE2>" -> 0xE2.
std::optional<uint8_t> byte_token_value(std::string_view text) {
    if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
    unsigned value = 0;
    for (const char c : text.substr(3, 2)) {
        value <<= 4;
        if (c >= '0' && c <= '9')
            value |= static_cast<unsigned>(c - '0');
        else if (c >= 'A' && c <= 'F')
            value |= static_cast<unsigned>(c - 'A' + 10);
        else
            return std::nullopt;
    }
    return static_cast<uint8_t>(value);
}

std::string replace_spm_space(std::string_view text) {
    std::string out;
    for (size_t at = 0; at < text.size();) {
        if (text.substr(at).starts_with(kSpmSpace)) {
            out += ' ';
            at += kSpmSpace.size();
        } else {
            out += text[at++];
        }
    }
    return out;
}

// The bytes a token stands for (tokenizers.md section 6). Control and unknown tokens keep their
// text here; whether they are printed is the detokenizer's decision.
std::string decoded(VocabularyModel model, TokenType type, const std::string& text) {
    if (type == TokenType::kByte) {
        if (const auto byte = byte_token_value(text)) return {static_cast<char>(*byte)};
    }
    if (type != TokenType::kNormal && type != TokenType::kUndefined) return text;
    if (model == VocabularyModel::kSpm) return replace_spm_space(text);
    return alphabet_to_bytes(text).value_or(text);
}

// Puts `value` into the first slot from its hash on that is free; one that already holds the same
// key keeps what it has (look-ups stop there, so of duplicates the first wins). False when that
// slot is too far away.
template <typename Slot, typename IsFree, typename IsSame>
bool insert(std::vector<Slot>& slots, uint64_t hash, const Slot& value, IsFree is_free,
            IsSame is_same) {
    const size_t mask = slots.size() - 1;
    size_t slot = hash & mask;
    for (uint32_t probe = 0; probe < kProbesMax; ++probe, slot = (slot + 1) & mask) {
        if (is_free(slots[slot])) {
            slots[slot] = value;
            return true;
        }
        if (is_same(slots[slot])) return true;
    }
    return false;
}

size_t hash_capacity(size_t entries) {
    return std::bit_ceil(entries + entries / 2 + 2);
}

// Texts seen so far and their symbols: tokens first, then what only merges and bytes name.
class SymbolTable {
  public:
    explicit SymbolTable(const std::vector<std::string>& tokens) {
        symbols_.reserve(tokens.size() * 2);
        for (const std::string& text : tokens) {
            symbols_.emplace(text, next_++);  // of duplicates the first stays
        }
    }
    uint32_t intern(const std::string& text) {
        const auto [place, is_new] = symbols_.emplace(text, next_);
        if (is_new) ++next_;
        return place->second;
    }
    uint32_t count() const { return next_; }

  private:
    std::unordered_map<std::string, uint32_t> symbols_;
    uint32_t next_ = 0;
};

// Collects the sections; finish() lays them out behind the header.
class ImageWriter {
  public:
    VocabularyHeader header{};

    template <typename T>
    void set(Section section, const std::vector<T>& items) {
        set_bytes(section, items.data(), items.size() * sizeof(T));
    }
    void set(Section section, const std::string& text) {
        set_bytes(section, text.data(), text.size());
    }
    std::vector<std::byte> finish() {
        uint64_t offset = sizeof header;
        for (size_t i = 0; i < kSectionCount; ++i) {
            header.sections[i] = {offset, contents_[i].size()};
            offset = round_up(offset + contents_[i].size(), 8);
        }
        std::memcpy(header.magic, kVocabularyMagic, sizeof header.magic);
        header.version = kVocabularyVersion;
        header.image_bytes = offset;
        std::vector<std::byte> image(offset);
        std::memcpy(image.data(), &header, sizeof header);
        for (size_t i = 0; i < kSectionCount; ++i) {
            std::copy(contents_[i].begin(), contents_[i].end(),
                      image.begin() + static_cast<ptrdiff_t>(header.sections[i].offset));
        }
        return image;
    }

  private:
    void set_bytes(Section section, const void* data, size_t bytes) {
        const auto* begin = static_cast<const std::byte*>(data);
        if (bytes > 0) contents_[static_cast<size_t>(section)].assign(begin, begin + bytes);
    }
    std::vector<std::byte> contents_[kSectionCount];
};

Result<void> check_input(const VocabularyBuilder& in) {
    const size_t count = in.tokens.size();
    if (count == 0) return bad("there are no tokens");
    if (count > kTokensMax) return bad("more than 2^20 tokens");
    if (in.merges.size() > kMergesMax) return bad("more than 2^21 merges");
    if (!in.types.empty() && in.types.size() != count)
        return bad("types and tokens differ in number");
    if (in.model == VocabularyModel::kSpm && in.scores.size() != count) {
        return bad("scores and tokens differ in number");
    }
    if (!std::all_of(in.scores.begin(), in.scores.end(),
                     [](float s) { return std::isfinite(s); })) {
        return bad("a score is not finite");
    }
    if (in.model == VocabularyModel::kBpe && in.merges.empty()) return bad("there are no merges");
    if (in.chat_template.size() > kTemplateBytesMax) return bad("the chat template exceeds 1 MiB");
    uint64_t text_bytes = 0;
    for (size_t id = 0; id < count; ++id) {
        text_bytes += in.tokens[id].size();
        if (in.tokens[id].size() > kTokenBytesMax) {
            return bad("token " + std::to_string(id) + " is longer than 4 KiB");
        }
    }
    if (text_bytes > kTextBlobBytesMax) return bad("token texts exceed 256 MiB");
    const auto beyond = [&](uint32_t id) { return id >= count; };
    for (const auto& id : {in.bos, in.eos, in.eot, in.unknown, in.padding}) {
        if (id && beyond(*id)) return bad("special id " + std::to_string(*id) + " is no token");
    }
    if (std::any_of(in.end_ids.begin(), in.end_ids.end(), beyond) ||
        std::any_of(in.suppressed.begin(), in.suppressed.end(), beyond)) {
        return bad("an end-of-generation or suppressed id is no token");
    }
    return {};
}

TokenType type_of(const VocabularyBuilder& in, size_t id) {
    return in.types.empty() ? TokenType::kNormal : in.types[id];
}

Result<void> write_tokens(const VocabularyBuilder& in, ImageWriter& image) {
    std::vector<uint32_t> text_offsets{0}, bytes_offsets{0};
    std::string texts, bytes;
    std::vector<uint8_t> types;
    std::vector<TextSlot> slots(hash_capacity(in.tokens.size()), {kNoId, 0});
    size_t longest = 0;
    for (size_t id = 0; id < in.tokens.size(); ++id) {
        const std::string& text = in.tokens[id];
        texts += text;
        bytes += decoded(in.model, type_of(in, id), text);
        text_offsets.push_back(static_cast<uint32_t>(texts.size()));
        bytes_offsets.push_back(static_cast<uint32_t>(bytes.size()));
        types.push_back(static_cast<uint8_t>(type_of(in, id)));
        longest = std::max(longest, text.size());
        const uint64_t hash = hash_text(text);
        const TextSlot slot{static_cast<uint32_t>(id), static_cast<uint32_t>(hash >> 32)};
        const bool placed = insert(
            slots, hash, slot, [](const TextSlot& other) { return other.id == kNoId; },
            [&](const TextSlot& other) { return in.tokens[other.id] == text; });
        if (!placed) return bad("token texts are made to collide");
    }
    image.header.longest_token_bytes = static_cast<uint32_t>(longest);
    image.set(Section::kTextOffsets, text_offsets);
    image.set(Section::kTexts, texts);
    image.set(Section::kBytesOffsets, bytes_offsets);
    image.set(Section::kBytes, bytes);
    image.set(Section::kTypes, types);
    image.set(Section::kTextSlots, slots);
    if (in.model == VocabularyModel::kSpm) image.set(Section::kScores, in.scores);
    return {};
}

Result<void> write_merges(const VocabularyBuilder& in, SymbolTable& symbols, ImageWriter& image) {
    const auto is_free = [](const MergeEntry& entry) { return entry.left == kNoId; };
    std::vector<MergeEntry> slots(hash_capacity(in.merges.size()), {kNoId, 0, 0, 0});
    for (size_t rank = 0; rank < in.merges.size(); ++rank) {
        const auto& [left_text, right_text] = in.merges[rank];
        if (left_text.size() + right_text.size() > kTokenBytesMax) {
            return bad("merge " + std::to_string(rank) + " is longer than 4 KiB");
        }
        const uint32_t left = symbols.intern(left_text);
        const uint32_t right = symbols.intern(right_text);
        const uint32_t merged = symbols.intern(left_text + right_text);
        const MergeEntry entry{left, right, static_cast<uint32_t>(rank), merged};
        const auto is_same = [&](const MergeEntry& other) {
            return other.left == left && other.right == right;
        };
        if (!insert(slots, hash_pair(left, right), entry, is_free, is_same)) {
            return bad("merges are made to collide");
        }
    }
    image.set(Section::kMergeSlots, slots);
    return {};
}

void write_byte_symbols(const VocabularyBuilder& in, SymbolTable& symbols, ImageWriter& image) {
    if (in.model == VocabularyModel::kBpe) {
        for (uint32_t byte = 0; byte < 256; ++byte) {
            std::string mapped;
            append_utf8(mapped, byte_to_alphabet(static_cast<uint8_t>(byte)));
            image.header.byte_symbols[byte] = symbols.intern(mapped);
        }
        return;
    }
    std::fill_n(image.header.byte_symbols, 256, kNoId);
    for (size_t id = in.tokens.size(); id-- > 0;) {  // backwards: the first of duplicates stays
        if (type_of(in, id) != TokenType::kByte) continue;
        if (const auto byte = byte_token_value(in.tokens[id])) {
            image.header.byte_symbols[*byte] = static_cast<uint32_t>(id);
        }
    }
}

Result<void> write_specials(const VocabularyBuilder& in, ImageWriter& image) {
    std::vector<uint32_t> specials;
    for (size_t id = 0; id < in.tokens.size(); ++id) {
        const TokenType type = type_of(in, id);
        const bool special = type == TokenType::kControl || type == TokenType::kUserDefined ||
                             type == TokenType::kUnknown;
        const std::string& text = in.tokens[id];
        // No text that is UTF-8 holds one that is not.
        if (special && !text.empty() && is_utf8(text))
            specials.push_back(static_cast<uint32_t>(id));
    }
    if (specials.size() > kSpecialsMax) return bad("more than 65536 special tokens");
    std::stable_sort(specials.begin(), specials.end(), [&](uint32_t a, uint32_t b) {
        return in.tokens[a].size() > in.tokens[b].size();
    });
    std::vector<uint32_t> end_ids = in.end_ids;
    std::sort(end_ids.begin(), end_ids.end());
    end_ids.erase(std::unique(end_ids.begin(), end_ids.end()), end_ids.end());
    image.set(Section::kSpecials, specials);
    image.set(Section::kEndIds, end_ids);
    image.set(Section::kSuppressed, in.suppressed);
    return {};
}

}  // namespace

bool VocabularyBuilder::add_merge(std::string_view line) {
    const size_t space = line.find(' ', 1);
    if (line.empty() || space == std::string_view::npos || space + 1 == line.size()) return false;
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
    return true;
}

Result<std::vector<std::byte>> VocabularyBuilder::build() const {
    BITNETD_TRY(check_input(*this));
    ImageWriter image;
    VocabularyHeader& header = image.header;
    header.model = static_cast<uint32_t>(model);
    header.flags = (add_bos ? uint32_t{kAddBos} : 0) | (add_eos ? uint32_t{kAddEos} : 0) |
                   (ignore_merges ? uint32_t{kIgnoreMerges} : 0) |
                   (add_space_prefix ? uint32_t{kAddSpacePrefix} : 0) |
                   (normalise_nfc ? uint32_t{kNormaliseNfc} : 0);
    header.bos = bos.value_or(kNoId);
    header.eos = eos.value_or(kNoId);
    header.eot = eot.value_or(kNoId);
    header.unknown = unknown.value_or(kNoId);
    header.padding = padding.value_or(kNoId);
    header.token_count = static_cast<uint32_t>(tokens.size());

    SymbolTable symbols(tokens);
    BITNETD_TRY(write_tokens(*this, image));
    if (model == VocabularyModel::kBpe) BITNETD_TRY(write_merges(*this, symbols, image));
    write_byte_symbols(*this, symbols, image);
    BITNETD_TRY(write_specials(*this, image));
    header.symbol_count = symbols.count();
    image.set(Section::kPreTokenizer, pre_tokenizer);
    image.set(Section::kChatTemplate, chat_template);
    return image.finish();
}

}  // namespace bitnetd::text
