// The tile registers in plain C++, as Intel's Software Developer's Manual describes LDTILECFG,
// TILEZERO, TILELOADD, TILESTORED, TDPBUSD and TILERELEASE for palette 1: eight registers of up to
// 16 rows of 64 bytes. What the CPU would refuse ends the process. The place of Tiles (tiles.h) in
// tests of kernels.
#pragma once

#include <cstdint>
#include <cstring>

#include "worker/kernels/amx/tile.h"

namespace bitnetd::kernels::amx {
namespace {

class EmulatedTiles {
  public:
    explicit EmulatedTiles(const TileConfig& config) {
        uint8_t bytes[64];
        std::memcpy(bytes, &config, sizeof bytes);
        refuse_if(bytes[0] != 1 || bytes[1] != 0);
        for (int i = 2; i < 16; ++i)
            refuse_if(bytes[i] != 0);
        for (int i = 32; i < 48; ++i)
            refuse_if(bytes[i] != 0);
        for (int i = 56; i < 64; ++i)
            refuse_if(bytes[i] != 0);
        for (int tile = 0; tile < 8; ++tile) {
            Register& one = registers_[tile];
            one.row_bytes = bytes[16 + 2 * tile] + 256 * bytes[17 + 2 * tile];
            one.rows = bytes[48 + tile];
            refuse_if(one.row_bytes > 64 || one.rows > 16);
            refuse_if((one.row_bytes == 0) != (one.rows == 0));
        }
    }

    template <int kTile>
    void zero() {
        clear(used<kTile>());
    }
    template <int kTile>
    void load(const Tile& from) {
        Register& to = used<kTile>();
        clear(to);
        for (int row = 0; row < to.rows; ++row)
            std::memcpy(to.bytes[row], from.bytes[row], static_cast<size_t>(to.row_bytes));
    }
    template <int kTile>
    void store(Tile& to) {
        const Register& from = used<kTile>();
        for (int row = 0; row < from.rows; ++row)
            std::memcpy(to.bytes[row], from.bytes[row], static_cast<size_t>(from.row_bytes));
    }
    // TDPBUSD sums, codes, values: for each row m of sums, each word k of a row of codes and each
    // word n of sums, four products of an unsigned byte of codes and a signed one of values.
    template <int kSums, int kCodes, int kValues>
    void dot() {
        refuse_if(kSums == kCodes || kSums == kValues || kCodes == kValues);
        Register& sums = used<kSums>();
        const Register& codes = used<kCodes>();
        const Register& values = used<kValues>();
        refuse_if(sums.row_bytes % 4 != 0 || codes.row_bytes % 4 != 0 || values.row_bytes % 4 != 0);
        refuse_if(sums.rows != codes.rows || sums.row_bytes != values.row_bytes);
        refuse_if(codes.row_bytes / 4 != values.rows);
        for (int m = 0; m < sums.rows; ++m) {
            uint32_t row[16];
            std::memcpy(row, sums.bytes[m], sizeof row);
            for (int k = 0; k < codes.row_bytes / 4; ++k) {
                for (int n = 0; n < sums.row_bytes / 4; ++n)
                    row[n] += four_products(codes.bytes[m] + 4 * k, values.bytes[k] + 4 * n);
            }
            std::memcpy(sums.bytes[m], row, static_cast<size_t>(sums.row_bytes));
        }
    }

  private:
    struct Register {
        int rows = 0;
        int row_bytes = 0;
        uint8_t bytes[16][64] = {};
    };

    static void refuse_if(bool condition) {
        if (condition) __builtin_trap();
    }
    static void clear(Register& one) { std::memset(one.bytes, 0, sizeof one.bytes); }
    // Modulo 2^32, as the instruction adds.
    static uint32_t four_products(const uint8_t* codes, const uint8_t* values) {
        int32_t sum = 0;
        for (int t = 0; t < 4; ++t)
            sum += int32_t{codes[t]} * static_cast<int8_t>(values[t]);
        return static_cast<uint32_t>(sum);
    }
    template <int kTile>
    Register& used() {
        static_assert(kTile >= 0 && kTile < 8);
        refuse_if(registers_[kTile].rows == 0);
        return registers_[kTile];
    }

    Register registers_[8];
};

}  // namespace
}  // namespace bitnetd::kernels::amx
