// Packed weights to tiles of codes, a few blocks at a time: the unit that multiplies tiles works by
// itself, so what is expanded between its products costs next to nothing.
#pragma once

#include <immintrin.h>

#include "worker/kernels/amx/tile.h"
#include "worker/kernels/kernel_api.h"

namespace bitnetd::kernels::amx {
namespace {

constexpr int32_t kStepsOfBlock = kTernaryBlock / kTileRowBytes;  // tiles across one block
static_assert(kTernaryBlockBytes == kTileRowBytes && kStepsOfBlock == 4);

// The codes of up to 32 weight rows by a few blocks, becoming tiles[step][row / 16]. D is the
// TernaryDot whose 64 bytes hold a row of a tile for each of their four fields.
template <typename D>
class Expansion {
    static_assert(D::kBytes == kTileRowBytes);

  public:
    // w           the first block of the first row; rows lie row_bytes apart
    // prefetched  where to prefetch as many bytes as are read, one after the other: what lies side
    //             by side in rows is read from memory as one ascending stream, a panel ahead
    Expansion(const uint8_t* w, int64_t row_bytes, int32_t rows, int32_t blocks,
              const uint8_t* prefetched, Tile* tiles)
        : from_(w),
          prefetched_(prefetched),
          at_(tiles->bytes[0]),
          to_next_row_(row_bytes - int64_t{blocks} * kTernaryBlockBytes),
          step_bytes_((rows > kTileRows ? 2 : 1) * int64_t{sizeof(Tile)}),
          tiles_(tiles),
          blocks_(blocks),
          blocks_left_(blocks),
          left_(rows * blocks) {}

    int32_t left() const { return left_; }

    // Expands the next `count` blocks, or those that are left.
    void advance(int32_t count) {
        for (; count > 0 && left_ > 0; --count, --left_) {
            expand();
            if (--blocks_left_ == 0) go_to_next_row();
        }
    }

  private:
    void expand() {
        _mm_prefetch(prefetched_, _MM_HINT_T1);
        const typename D::Bytes packed = D::load(from_);
        // Copies, since for all the compiler knows a stored byte might be one of theirs.
        uint8_t* const at = at_;
        const int64_t step = step_bytes_;
        D::store(at, D::template field<0>(packed));
        D::store(at + step, D::template field<1>(packed));
        D::store(at + 2 * step, D::template field<2>(packed));
        D::store(at + 3 * step, D::template field<3>(packed));
        prefetched_ += kTernaryBlockBytes;
        from_ += kTernaryBlockBytes;
        at_ = at + kStepsOfBlock * step;
    }

    void go_to_next_row() {
        ++row_;
        blocks_left_ = blocks_;
        from_ += to_next_row_;
        at_ = tiles_[row_ / kTileRows].bytes[row_ % kTileRows];
    }

    const uint8_t* from_;
    const uint8_t* prefetched_;
    uint8_t* at_;
    int64_t to_next_row_;  // from the end of a row's blocks
    int64_t step_bytes_;
    Tile* tiles_;
    int32_t blocks_;
    int32_t blocks_left_;  // of this row
    int32_t left_;         // of all rows
    uint32_t row_ = 0;
};

}  // namespace
}  // namespace bitnetd::kernels::amx
