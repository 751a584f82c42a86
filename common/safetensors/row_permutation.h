// Rotary embedding turns pairs of dimensions. Hugging Face checkpoints pair p with p + D/2 (half
// split); GGUF files of the llama family pair 2p with 2p + 1, so their writers permute the rows of
// the query and key matrices and biases, head by head. Packed rows are unpacked first: four of them
// share a byte. Other families keep the order.
#pragma once

#include <cstdint>

namespace bitnetd::safetensors {

// The checkpoint's row that a llama GGUF has at `row`; head_dim is even.
constexpr uint64_t hf_row(uint64_t row, uint64_t head_dim) noexcept {
    const uint64_t in_head = row % head_dim;
    return row - in_head + in_head % 2 * (head_dim / 2) + in_head / 2;
}

}  // namespace bitnetd::safetensors
