// Opening and reading a vocabulary image. open() is the border: behind it the image is trusted.
#include "common/text/vocabulary_image.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>

#include "common/base/bytes.h"
#include "common/text/utf8.h"

namespace bitnetd::text {

namespace {

Error bad(std::string what) {
    return invalid("vocabulary image: " + std::move(what));
}

constexpr uint64_t kMix = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio

uint64_t mix(uint64_t value) {
    value ^= value >> 32;
    value *= kMix;
    return value ^ value >> 29;
}

// Fewer than 8 bytes, little-endian, zeros behind: by loads of a fixed size that may overlap.
uint64_t load_tail(std::string_view text) {
    const char* at = text.data();
    const size_t bytes = text.size();
    if (bytes >= 4) {
        return load<uint32_t>(at) | uint64_t{load<uint32_t>(at + bytes - 4)} << (8 * (bytes - 4));
    }
    if (bytes == 0) return 0;
    const auto byte = [at](size_t i) { return uint64_t{static_cast<uint8_t>(at[i])} << (8 * i); };
    return byte(0) | byte(bytes / 2) | byte(bytes - 1);
}

bool is_hash_capacity(size_t slots) {
    return std::has_single_bit(slots) && slots <= size_t{4} * kMergesMax;
}

// Offsets must rise from 0 to the blob's size, in steps of at most kTokenBytesMax.
Result<uint32_t> check_offsets(std::span<const uint32_t> offsets, size_t blob_bytes,
                               const char* name) {
    uint32_t longest = 0;
    if (offsets.front() != 0 || offsets.back() != blob_bytes) {
        return bad(std::string(name) + " do not span their blob");
    }
    for (size_t i = 1; i < offsets.size(); ++i) {
        if (offsets[i] < offsets[i - 1] || offsets[i] - offsets[i - 1] > kTokenBytesMax) {
            return bad(std::string(name) + " are out of order at " + std::to_string(i));
        }
        longest = std::max(longest, offsets[i] - offsets[i - 1]);
    }
    return longest;
}

Result<void> check_id_list(std::span<const uint32_t> ids, uint32_t limit, const char* name) {
    const bool good = std::all_of(ids.begin(), ids.end(), [&](uint32_t id) { return id < limit; });
    if (!good) return bad(std::string(name) + " hold an id beyond the vocabulary");
    return {};
}

}  // namespace

uint64_t hash_text(std::string_view text) noexcept {
    uint64_t hash = text.size() * kMix;
    while (text.size() >= 8) {
        hash = mix(hash ^ load<uint64_t>(text.data())) * kMix;
        text.remove_prefix(8);
    }
    return mix(hash ^ load_tail(text));
}

uint64_t hash_pair(uint32_t left, uint32_t right) noexcept {
    return mix((uint64_t{left} << 32 | right) * kMix);
}

std::span<const std::byte> VocabularyView::section(Section which) const {
    const SectionPlace& place = header_->sections[static_cast<size_t>(which)];
    return {reinterpret_cast<const std::byte*>(header_) + place.offset, place.bytes};
}

template <typename T>
std::span<const T> VocabularyView::array(Section which) const {
    const auto bytes = section(which);
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
}

std::string_view VocabularyView::string(Section which) const {
    const auto bytes = section(which);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<VocabularyView> VocabularyView::open(std::span<const std::byte> image) {
    if (reinterpret_cast<uintptr_t>(image.data()) % alignof(uint64_t) != 0) {
        return bad("not 8-byte aligned");
    }
    if (image.size() < sizeof(VocabularyHeader)) return bad("shorter than its header");
    VocabularyView view;
    view.header_ = reinterpret_cast<const VocabularyHeader*>(image.data());
    BITNETD_TRY(view.check_header(image.size()));
    BITNETD_TRY(view.map_sections());
    BITNETD_TRY(view.check_ids());
    BITNETD_TRY(view.check_tables());
    return view;
}

Result<void> VocabularyView::check_header(uint64_t image_bytes) const {
    const VocabularyHeader& h = *header_;
    if (std::memcmp(h.magic, kVocabularyMagic, sizeof h.magic) != 0) return bad("wrong magic");
    if (h.version != kVocabularyVersion) {
        return bad("version " + std::to_string(h.version) + ", this build reads " +
                   std::to_string(kVocabularyVersion));
    }
    if (h.image_bytes > image_bytes) return bad("truncated");
    if (h.model != static_cast<uint32_t>(VocabularyModel::kBpe) &&
        h.model != static_cast<uint32_t>(VocabularyModel::kSpm)) {
        return bad("unknown model " + std::to_string(h.model));
    }
    if ((h.flags & ~uint32_t{kKnownFlags}) != 0) return bad("unknown flags");
    if (h.token_count == 0 || h.token_count > kTokensMax) return bad("token count out of bounds");
    if (h.symbol_count < h.token_count || h.symbol_count > kTokensMax + 3 * kMergesMax + 256) {
        return bad("symbol count out of bounds");
    }
    for (const SectionPlace& place : h.sections) {
        const auto end = checked_add(place.offset, place.bytes);
        if (!end || *end > h.image_bytes || place.offset % 8 != 0 || place.offset < sizeof h) {
            return bad("a section lies outside");
        }
    }
    return {};
}

Result<void> VocabularyView::map_sections() {
    const size_t tokens = header_->token_count;
    const bool spm = model() == VocabularyModel::kSpm;
    text_offsets_ = array<uint32_t>(Section::kTextOffsets);
    bytes_offsets_ = array<uint32_t>(Section::kBytesOffsets);
    texts_ = string(Section::kTexts);
    bytes_ = string(Section::kBytes);
    types_ = array<uint8_t>(Section::kTypes);
    scores_ = array<float>(Section::kScores);
    text_slots_ = array<TextSlot>(Section::kTextSlots);
    merge_slots_ = array<MergeEntry>(Section::kMergeSlots);
    specials_ = array<uint32_t>(Section::kSpecials);
    end_ids_ = array<uint32_t>(Section::kEndIds);
    suppressed_ = array<uint32_t>(Section::kSuppressed);
    pre_tokenizer_ = string(Section::kPreTokenizer);
    chat_template_ = string(Section::kChatTemplate);
    if (text_offsets_.size() != tokens + 1 || bytes_offsets_.size() != tokens + 1 ||
        types_.size() != tokens || scores_.size() != (spm ? tokens : 0)) {
        return bad("a section has the wrong size");
    }
    if (!is_hash_capacity(text_slots_.size()) || (!spm && !is_hash_capacity(merge_slots_.size()))) {
        return bad("a hash table has the wrong size");
    }
    if (chat_template_.size() > kTemplateBytesMax || pre_tokenizer_.size() > kTokenBytesMax) {
        return bad("a string is too long");
    }
    BITNETD_ASSIGN(const uint32_t longest, check_offsets(text_offsets_, texts_.size(), "texts"));
    if (longest != header_->longest_token_bytes) return bad("wrong longest token");
    BITNETD_TRY(check_offsets(bytes_offsets_, bytes_.size(), "token bytes"));
    return {};
}

Result<void> VocabularyView::check_ids() const {
    const uint32_t tokens = header_->token_count;
    for (const uint32_t id :
         {header_->bos, header_->eos, header_->eot, header_->unknown, header_->padding}) {
        if (id != kNoId && id >= tokens) return bad("a special id is beyond the vocabulary");
    }
    BITNETD_TRY(check_id_list(specials_, tokens, "specials"));
    BITNETD_TRY(check_id_list(end_ids_, tokens, "end-of-generation ids"));
    BITNETD_TRY(check_id_list(suppressed_, tokens, "suppressed ids"));
    if (specials_.size() > kSpecialsMax) return bad("too many special tokens");
    for (const uint32_t id : specials_) {
        if (text(id).empty()) return bad("a special token without text");
        // It would be cut out of the middle of a character.
        if (!is_utf8(text(id))) return bad("a special token that is not UTF-8");
    }
    if (!std::is_sorted(end_ids_.begin(), end_ids_.end())) return bad("end ids are not sorted");
    const bool bpe = model() == VocabularyModel::kBpe;
    for (const uint32_t symbol : header_->byte_symbols) {
        const bool good = bpe ? symbol < header_->symbol_count : symbol == kNoId || symbol < tokens;
        if (!good) return bad("a byte has no symbol");
    }
    return {};
}

Result<void> VocabularyView::check_tables() const {
    const uint32_t tokens = header_->token_count;
    const uint32_t symbols = header_->symbol_count;
    for (const uint8_t type : types_) {
        if (type > static_cast<uint8_t>(TokenType::kByte)) return bad("unknown token type");
    }
    for (const float score : scores_) {
        if (!std::isfinite(score)) return bad("a score is not finite");
    }
    for (const TextSlot& slot : text_slots_) {
        if (slot.id != kNoId && slot.id >= tokens) return bad("the text table holds an unknown id");
    }
    for (const MergeEntry& entry : merge_slots_) {
        if (entry.left == kNoId) continue;
        if (entry.left >= symbols || entry.right >= symbols || entry.merged >= symbols ||
            entry.rank >= kMergesMax) {
            return bad("the merge table holds an unknown symbol");
        }
    }
    return {};
}

uint32_t VocabularyView::find(std::string_view wanted) const noexcept {
    const size_t mask = text_slots_.size() - 1;
    const uint64_t hash = hash_text(wanted);
    size_t at = hash & mask;
    for (uint32_t probe = 0; probe < kProbesMax; ++probe, at = (at + 1) & mask) {
        const TextSlot& slot = text_slots_[at];
        if (slot.id == kNoId) return kNoId;
        if (slot.check == static_cast<uint32_t>(hash >> 32) && text(slot.id) == wanted)
            return slot.id;
    }
    return kNoId;
}

const MergeEntry* VocabularyView::find_merge(uint32_t left, uint32_t right) const noexcept {
    const size_t mask = merge_slots_.size() - 1;
    size_t slot = hash_pair(left, right) & mask;
    for (uint32_t probe = 0; probe < kProbesMax; ++probe, slot = (slot + 1) & mask) {
        const MergeEntry& entry = merge_slots_[slot];
        if (entry.left == left && entry.right == right) return &entry;
        if (entry.left == kNoId) return nullptr;
    }
    return nullptr;
}

bool VocabularyView::is_end_of_generation(uint32_t id) const noexcept {
    return std::binary_search(end_ids_.begin(), end_ids_.end(), id);
}

}  // namespace bitnetd::text
