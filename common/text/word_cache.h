// Remembers the ids of the pieces of one text: words repeat, and merging one costs more than
// finding it. Bounded (2048 places, a new piece takes the place of an old one). Keeps no copy:
// pieces point into the text, ids into the output, so both must be the same during its life. One
// thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/text/vocabulary_image.h"

namespace bitnetd::text {

class WordCache {
  public:
    // A text of fewer bytes is not worth the cache's memory.
    static constexpr size_t kTextBytesMin = 2048;

    explicit WordCache(size_t text_bytes) : slots_(text_bytes < kTextBytesMin ? 0 : kSlots) {}

    // Appends the ids of an equal piece; false when none is remembered.
    bool replay(std::string_view piece, std::vector<uint32_t>& out) const {
        if (!keeps(piece)) return false;
        const Slot slot = slots_[hash_text(piece) % kSlots];
        if (std::string_view(slot.data, slot.bytes) != piece) return false;
        for (uint32_t i = 0; i < slot.count; ++i) {
            const uint32_t id = out[slot.begin + i];
            out.push_back(id);
        }
        return true;
    }

    // The ids of `piece` are out[begin..].
    void remember(std::string_view piece, size_t begin, const std::vector<uint32_t>& out) {
        if (!keeps(piece)) return;
        slots_[hash_text(piece) % kSlots] = {piece.data(), static_cast<uint32_t>(piece.size()),
                                             static_cast<uint32_t>(begin),
                                             static_cast<uint32_t>(out.size() - begin)};
    }

  private:
    static constexpr size_t kSlots = 2048;
    struct Slot {
        const char* data = nullptr;
        uint32_t bytes = 0;
        uint32_t begin = 0;
        uint32_t count = 0;
    };
    bool keeps(std::string_view piece) const {
        return !slots_.empty() && piece.size() >= 2 && piece.size() <= 32;
    }

    std::vector<Slot> slots_;
};

}  // namespace bitnetd::text
