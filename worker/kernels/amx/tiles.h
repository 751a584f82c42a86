// The tile registers, as the instructions of AMX-INT8. tests/support/amx/emulated_tiles.h computes
// the same in plain C++, so that ternary_gemm.h can be tested where there is no AMX.
//
// Written as assembly: gcc's own intrinsics take the number of a register as text, which a template
// parameter is not, and its _tile_loadd does not say that it reads memory, so that the stores which
// fill a tile might be moved behind it. Here each statement names the kilobyte it reads or writes;
// volatile ones keep their order among themselves, which orders what they do to the registers.
#pragma once

#include "worker/kernels/amx/tile.h"

namespace bitnetd::kernels::amx {
namespace {

// One per call of a kernel and never passed on: registers hold nothing before it and nothing after,
// so that the system need not save them when it switches threads.
class Tiles {
  public:
    explicit Tiles(const TileConfig& config) { asm volatile("ldtilecfg %0" : : "m"(config)); }
    ~Tiles() { asm volatile("tilerelease"); }
    Tiles(const Tiles&) = delete;
    Tiles& operator=(const Tiles&) = delete;

    template <int kTile>
    void zero() {
        asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
    }
    template <int kTile>
    void load(const Tile& from) {
        asm volatile("tileloadd (%0,%1,1), %%tmm%c2"
                     :
                     : "r"(&from), "r"(int64_t{kTileRowBytes}), "i"(kTile), "m"(from));
    }
    template <int kTile>
    void store(Tile& to) {
        asm volatile("tilestored %%tmm%c3, (%1,%2,1)"
                     : "=m"(to)
                     : "r"(&to), "r"(int64_t{kTileRowBytes}), "i"(kTile));
    }
    // sums[r][c] += sum over t of codes[r][t] * values[t / 4][4 c + t % 4]: 16 x 16 sums of 64
    // products, codes unsigned, values signed. The three registers must differ.
    template <int kSums, int kCodes, int kValues>
    void dot() {
        static_assert(kSums != kCodes && kSums != kValues && kCodes != kValues);
        asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0"
                     :
                     : "i"(kSums), "i"(kCodes), "i"(kValues));
    }
};

}  // namespace
}  // namespace bitnetd::kernels::amx
