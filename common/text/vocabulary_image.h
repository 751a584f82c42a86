// The vocabulary image: everything a frontend needs to turn text into token ids and back, as one
// position-independent block of bytes. common/text owns this format; it is not part of shm/abi/.
//   Written by VocabularyBuilder (vocabulary_builder.h) in the loader process into a memfd that is
//   then sealed; mapped read-only by the frontends and read through VocabularyView.
// The loader parses untrusted files, so the reader trusts nothing: VocabularyView::open() checks
// every offset, count, id and number once; after that look-ups need no check. It must therefore be
// given memory that nobody can write any more (F_SEAL_WRITE, or the process's own). If the writer
// dies half way, the segment is never sealed and never reaches a frontend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include "common/base/result.h"

namespace bitnetd::text {

// Limits for untrusted input (tokenizers.md section 9); the text blobs have room for 256 bytes
// each.
inline constexpr uint32_t kTokensMax = 1u << 20;
inline constexpr uint32_t kTokenBytesMax = 4096;
inline constexpr uint32_t kMergesMax = 1u << 21;
inline constexpr uint32_t kTemplateBytesMax = 1u << 20;
inline constexpr uint32_t kTextBlobBytesMax = 256u << 20;
inline constexpr uint32_t kSpecialsMax = 65536;

inline constexpr uint32_t kNoId = 0xFFFFFFFF;  // "none" wherever the image holds an id
inline constexpr uint32_t kVocabularyVersion = 2;

enum class VocabularyModel : uint32_t { kBpe = 1, kSpm = 2 };

// The values of tokenizer.ggml.token_type.
enum class TokenType : uint8_t {
    kUndefined = 0,
    kNormal = 1,
    kUnknown = 2,
    kControl = 3,
    kUserDefined = 4,
    kUnused = 5,
    kByte = 6,
};

enum VocabularyFlags : uint32_t {
    kAddBos = 1u << 0,
    kAddEos = 1u << 1,
    kIgnoreMerges = 1u << 2,    // BPE: a piece that is a token is not merged
    kAddSpacePrefix = 1u << 3,  // SPM
    kNormaliseNfc = 1u << 4,    // BPE: raw text is put into Unicode's form NFC first
    kKnownFlags = (1u << 5) - 1,
};

enum class Section : uint32_t {
    kTextOffsets,   // u32[tokens + 1] into kTexts
    kTexts,         // token texts as in the model file
    kBytesOffsets,  // u32[tokens + 1] into kBytes
    kBytes,         // what each token decodes to: byte alphabet or U+2581 undone
    kTypes,         // u8[tokens], a TokenType
    kScores,        // f32[tokens] for SPM, else empty
    kTextSlots,     // TextSlot[power of two]: hash table text -> id, open addressing
    kMergeSlots,    // MergeEntry[power of two]: hash table pair -> merge; empty for SPM
    kSpecials,      // u32: control, user-defined and unknown tokens; longest text first, then by
                    // id; without those that are no UTF-8, which would split a character
    kEndIds,        // u32: end-of-generation ids, ascending
    kSuppressed,    // u32: ids never to be sampled
    kPreTokenizer,  // its name (pre_tokenizer.h); empty for SPM
    kChatTemplate,  // Jinja source; may be empty
    kCount,
};
inline constexpr size_t kSectionCount = static_cast<size_t>(Section::kCount);

struct SectionPlace {
    uint64_t offset;  // bytes from the start of the image; a multiple of 8
    uint64_t bytes;
};

struct TextSlot {
    uint32_t id;  // kNoId marks a free slot
    uint32_t
        check;  // upper half of the text's hash: most other texts are told apart without a look
};
static_assert(sizeof(TextSlot) == 8 && std::is_trivially_copyable_v<TextSlot>);

// Symbols are what merging works on: the tokens (symbol = token id), then texts that only occur in
// merges or as single bytes and are no token.
struct MergeEntry {
    uint32_t left;    // symbol; kNoId marks a free slot
    uint32_t right;   // symbol
    uint32_t rank;    // position in the merge list; lower merges first
    uint32_t merged;  // symbol of the joined text
};
static_assert(sizeof(MergeEntry) == 16 && std::is_trivially_copyable_v<MergeEntry>);

// Offset 0. Bump kVocabularyVersion when anything here or in a section changes meaning.
struct VocabularyHeader {
    char magic[8];     // kVocabularyMagic
    uint32_t version;  // kVocabularyVersion
    uint32_t model;    // VocabularyModel
    uint64_t image_bytes;
    uint32_t flags;  // VocabularyFlags
    uint32_t token_count;
    uint32_t symbol_count;  // >= token_count
    uint32_t longest_token_bytes;
    uint32_t bos;  // each an id or kNoId
    uint32_t eos;
    uint32_t eot;
    uint32_t unknown;
    uint32_t padding;
    uint32_t reserved;           // zero
    uint32_t byte_symbols[256];  // BPE: symbol of a byte; SPM: id of its byte token or kNoId
    SectionPlace sections[kSectionCount];
};
inline constexpr char kVocabularyMagic[8] = {'B', 'N', 'V', 'O', 'C', 'A', 'B', '\n'};
static_assert(std::is_standard_layout_v<VocabularyHeader>);
static_assert(sizeof(VocabularyHeader) == 64 + 1024 + 16 * kSectionCount);

// Hash tables are probed linearly from the hash, at most this many slots; the builder refuses a
// vocabulary made so that more would be needed.
inline constexpr uint32_t kProbesMax = 256;
uint64_t hash_text(std::string_view text) noexcept;
uint64_t hash_pair(uint32_t left, uint32_t right) noexcept;

// A checked image. Cheap to copy; valid as long as the memory it was opened on. Any thread.
class VocabularyView {
  public:
    // `image` must be 8-byte aligned and stay mapped and unchanged for the life of the view.
    static Result<VocabularyView> open(std::span<const std::byte> image);

    VocabularyModel model() const { return static_cast<VocabularyModel>(header_->model); }
    uint32_t token_count() const { return header_->token_count; }
    uint32_t longest_token_bytes() const { return header_->longest_token_bytes; }
    bool has(VocabularyFlags flag) const { return (header_->flags & flag) != 0; }

    // For id < token_count().
    std::string_view text(uint32_t id) const { return piece(text_offsets_, texts_, id); }
    std::string_view bytes(uint32_t id) const { return piece(bytes_offsets_, bytes_, id); }
    TokenType type(uint32_t id) const { return static_cast<TokenType>(types_[id]); }
    float score(uint32_t id) const { return scores_[id]; }  // SPM only

    // The id of a text as written in the model file; of duplicates the first. kNoId when none.
    uint32_t find(std::string_view text) const noexcept;
    // The merge of two symbols, or null.
    const MergeEntry* find_merge(uint32_t left, uint32_t right) const noexcept;
    uint32_t byte_symbol(uint8_t byte) const { return header_->byte_symbols[byte]; }

    std::optional<uint32_t> bos() const { return optional_id(header_->bos); }
    std::optional<uint32_t> eos() const { return optional_id(header_->eos); }
    std::optional<uint32_t> eot() const { return optional_id(header_->eot); }
    std::optional<uint32_t> unknown() const { return optional_id(header_->unknown); }

    std::span<const uint32_t> specials() const { return specials_; }
    std::span<const uint32_t> end_ids() const { return end_ids_; }
    bool is_end_of_generation(uint32_t id) const noexcept;
    std::span<const uint32_t> suppressed() const { return suppressed_; }

    std::string_view pre_tokenizer() const { return pre_tokenizer_; }
    std::string_view chat_template() const { return chat_template_; }

  private:
    VocabularyView() = default;

    static std::optional<uint32_t> optional_id(uint32_t id) {
        return id == kNoId ? std::nullopt : std::optional<uint32_t>(id);
    }
    static std::string_view piece(std::span<const uint32_t> offsets, std::string_view blob,
                                  uint32_t id) {
        return {blob.data() + offsets[id], offsets[id + 1] - offsets[id]};
    }
    std::span<const std::byte> section(Section section) const;
    template <typename T>
    std::span<const T> array(Section section) const;
    std::string_view string(Section section) const;

    Result<void> check_header(uint64_t image_bytes) const;
    Result<void> map_sections();
    Result<void> check_ids() const;
    Result<void> check_tables() const;

    const VocabularyHeader* header_ = nullptr;
    std::span<const uint32_t> text_offsets_;
    std::span<const uint32_t> bytes_offsets_;
    std::string_view texts_;
    std::string_view bytes_;
    std::span<const uint8_t> types_;
    std::span<const float> scores_;
    std::span<const TextSlot> text_slots_;
    std::span<const MergeEntry> merge_slots_;
    std::span<const uint32_t> specials_;
    std::span<const uint32_t> end_ids_;
    std::span<const uint32_t> suppressed_;
    std::string_view pre_tokenizer_;
    std::string_view chat_template_;
};

}  // namespace bitnetd::text
