// Where the parts of a TL2 matrix begin. The split of the columns depends on the tile width, the
// whole size does not. Internal to common/quant.
#pragma once

#include <cstdint>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/quant/quant_types.h"

namespace bitnetd::quant {

inline constexpr uint64_t kTl2TailBytes = 32;  // begins with the matrix's f32 scale

// Three sections: 4-bit indices and sign bits of column triples, then 4-bit codes of column pairs.
struct Tl2Sections {
    uint64_t triple_columns;  // K3, a multiple of the tile width
    uint64_t pair_columns;    // K2, the rest
    uint64_t signs_at;
    uint64_t pairs_at;
    uint64_t end;  // of the codes

    Tl2Sections(Shape shape, uint64_t tile_columns)
        : triple_columns(shape.columns / tile_columns * tile_columns),
          pair_columns(shape.columns - triple_columns),
          signs_at(shape.rows * triple_columns / 6),
          pairs_at(signs_at + shape.rows * triple_columns / 24),
          end(pairs_at + shape.rows * pair_columns / 4) {}
};

// Where the scale stands: what the writer reserves for the codes whatever the tile width. Its
// arithmetic is defined left to right in integers. Needs columns >= 256.
inline uint64_t tl2_scale_at(Shape shape) {
    const uint64_t triples = (shape.columns - 256) * shape.rows / 3 * 5 / 8;
    const uint64_t pairs = 256 * shape.rows / 2 * 4 / 8;
    return round_up(triples + pairs, 32);
}

inline Result<uint64_t> tl2_bytes(Shape shape) {
    if (shape.columns < 256) {
        return invalid("a matrix of " + to_string(shape) +
                       " cannot be TL2: it needs at least 256 columns");
    }
    return tl2_scale_at(shape) + kTl2TailBytes;
}

}  // namespace bitnetd::quant
