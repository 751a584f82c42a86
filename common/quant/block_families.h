// The splitters behind block_codes.h and the decoders of the same types, one function per type, one
// source per family. Internal to common/quant.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/quant/block_codes.h"

namespace bitnetd::quant {

inline constexpr size_t kBlockElementsMax = 256;

// Where the numbers of one block go: as many as its form says (block_codes.h). A splitter fills
// codes and d; m, scales and minima only where its form has them.
struct BlockParts {
    int8_t* codes;
    uint16_t* d;
    uint16_t* m;
    int8_t* scales;
    int8_t* minima;
};

using BlockSplitter = void (*)(const std::byte* block, const BlockParts& out) noexcept;

struct BlockFamily {
    Type type;
    BlockSplitter split;
    BlockForm form;
};

// Null for a type without a form.
const BlockFamily* block_family(Type type) noexcept;

// short_blocks.cc: 32 elements, one d
void split_q8_0(const std::byte* block, const BlockParts& out) noexcept;
void split_q4_0(const std::byte* block, const BlockParts& out) noexcept;
void split_q4_1(const std::byte* block, const BlockParts& out) noexcept;
void split_q5_0(const std::byte* block, const BlockParts& out) noexcept;
void split_q5_1(const std::byte* block, const BlockParts& out) noexcept;

// k_blocks.cc: 256 elements, scales of sub-blocks
void split_q2_k(const std::byte* block, const BlockParts& out) noexcept;
void split_q3_k(const std::byte* block, const BlockParts& out) noexcept;
void split_q4_k(const std::byte* block, const BlockParts& out) noexcept;
void split_q5_k(const std::byte* block, const BlockParts& out) noexcept;
void split_q6_k(const std::byte* block, const BlockParts& out) noexcept;

// low_bit_blocks.cc: one or two bits, one d
void split_q1_0(const std::byte* block, const BlockParts& out) noexcept;
void split_q2_0(const std::byte* block, const BlockParts& out) noexcept;

}  // namespace bitnetd::quant
