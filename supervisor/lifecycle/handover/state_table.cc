#include "supervisor/lifecycle/handover/state_table.h"

#include <xxhash.h>

#include <cstring>
#include <optional>

#include "common/base/bytes.h"
#include "common/base/crash_point.h"

namespace bitnetd::supervisor {
namespace {

constexpr uint64_t kMagic = 0x6574617453746942;  // "BitState"
constexpr uint32_t kLayoutVersion = 1;           // of the structs below, not of the text

// Written once, before anybody else has the descriptor.
struct StateHeader {
    uint64_t magic;
    uint32_t layout_version;
    uint32_t copy_bytes;  // kStateCopyBytes
};
static_assert(sizeof(StateHeader) == 16);

// At the start of each copy; the text is behind it.
struct CopyHeader {
    uint64_t sequence;  // counts the writes from 1; 0: never written
    uint64_t text_bytes;
    uint64_t checksum;  // XXH3-64 of the text, seeded with the sequence
    uint64_t reserved;  // zero
};
static_assert(sizeof(CopyHeader) == 32);

constexpr uint64_t kFirstCopy = 4096;
constexpr uint64_t kStateCopyBytes = kStateTextBytesMax + 4096;
constexpr uint64_t kSegmentBytes = kFirstCopy + 2 * kStateCopyBytes;
static_assert(sizeof(CopyHeader) + kStateTextBytesMax <= kStateCopyBytes);

uint64_t copy_offset(size_t index) {
    return kFirstCopy + index * kStateCopyBytes;
}

struct Copy {
    uint64_t sequence;
    std::string_view text;
};

// Nothing when the copy was never written, or not to its end.
std::optional<Copy> whole_copy(const shm::Segment& segment, size_t index) {
    const std::byte* at = segment.data() + copy_offset(index);
    CopyHeader header;
    std::memcpy(&header, at, sizeof header);
    if (header.sequence == 0 || header.text_bytes > kStateTextBytesMax || header.reserved != 0) {
        return std::nullopt;
    }
    const std::string_view text(reinterpret_cast<const char*>(at + sizeof header),
                                header.text_bytes);
    if (XXH3_64bits_withSeed(text.data(), text.size(), header.sequence) != header.checksum) {
        return std::nullopt;
    }
    return Copy{header.sequence, text};
}

// The copy that counts and where it is.
struct Newest {
    size_t index = 1;  // of none: the first write goes to copy 0
    std::optional<Copy> copy;
};

Newest newest_copy(const shm::Segment& segment) {
    Newest newest;
    for (size_t index = 0; index < 2; ++index) {
        const auto copy = whole_copy(segment, index);
        if (copy && (!newest.copy || copy->sequence > newest.copy->sequence)) {
            newest = {index, copy};
        }
    }
    return newest;
}

}  // namespace

Result<StateTable> StateTable::create() {
    BITNETD_ASSIGN(Fd fd, shm::Segment::create_memfd("bitnetd-state", kSegmentBytes));
    BITNETD_TRY(shm::seal_size(fd.get()));
    BITNETD_ASSIGN(shm::Segment segment, shm::Segment::map(fd.get(), shm::Access::kReadWrite));
    const StateHeader header{kMagic, kLayoutVersion, kStateCopyBytes};
    std::memcpy(segment.mutable_data(), &header, sizeof header);
    return StateTable(std::move(fd), std::move(segment));
}

Result<StateTable> StateTable::open(Fd fd) {
    BITNETD_TRY(shm::check_size_sealed(fd.get()));
    BITNETD_ASSIGN(shm::Segment segment, shm::Segment::map(fd.get(), shm::Access::kReadWrite));
    if (segment.bytes() != kSegmentBytes) {
        return invalid("state table of " + std::to_string(segment.bytes()) + " bytes, expected " +
                       std::to_string(kSegmentBytes));
    }
    const auto header = load<StateHeader>(segment.data());
    if (header.magic != kMagic) return invalid("this descriptor is no state table");
    if (header.layout_version != kLayoutVersion || header.copy_bytes != kStateCopyBytes) {
        return invalid("state table of layout version " + std::to_string(header.layout_version) +
                       " with copies of " + std::to_string(header.copy_bytes) +
                       " bytes; this build reads version " + std::to_string(kLayoutVersion) +
                       " with " + std::to_string(kStateCopyBytes));
    }
    return StateTable(std::move(fd), std::move(segment));
}

Result<void> StateTable::write(std::string_view text) {
    if (text.size() > kStateTextBytesMax) {
        return Error{ErrorCode::kExhausted,
                     "the supervisor's state has " + std::to_string(text.size()) +
                         " bytes, the state table takes " + std::to_string(kStateTextBytesMax)};
    }
    const Newest newest = newest_copy(segment_);
    const uint64_t sequence = newest.copy ? newest.copy->sequence + 1 : 1;
    std::byte* at = segment_.mutable_data() + copy_offset(1 - newest.index);
    const CopyHeader header{sequence, text.size(),
                            XXH3_64bits_withSeed(text.data(), text.size(), sequence), 0};

    const size_t half = text.size() / 2;
    std::memcpy(at + sizeof header, text.data(), half);
    // CRASH(state.half_copied): the old header of this copy does not fit the text; the other copy
    // counts.
    BITNETD_CRASH(state.half_copied);
    std::memcpy(at + sizeof header + half, text.data() + half, text.size() - half);
    // CRASH(state.copied): likewise.
    BITNETD_CRASH(state.copied);
    std::memcpy(at, &header, sizeof header);
    // CRASH(state.written): this copy counts, though nobody was told that it was written.
    BITNETD_CRASH(state.written);
    return {};
}

Result<std::string> StateTable::read() const {
    const Newest newest = newest_copy(segment_);
    if (!newest.copy) return Error{ErrorCode::kNotFound, "the state table holds no whole copy"};
    return std::string(newest.copy->text);
}

}  // namespace bitnetd::supervisor
