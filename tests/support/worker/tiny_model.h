// A random model in a weights segment, small and odd-shaped, for tests of the model and of the
// loop. Made from a seed; the same on every machine.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "shm/abi/weights_abi.h"
#include "worker/kernels/block_format.h"
#include "worker/model/aligned_array.h"

namespace bitnetd::worker::test {

struct TinyShape {
    uint32_t layers = 2;
    uint32_t hidden = 48;
    uint32_t ffn = 80;
    uint32_t heads = 4;
    uint32_t kv_heads = 2;
    uint32_t head_dim = 12;
    uint32_t rope_dims = 8;
    uint32_t vocab = 67;
    uint32_t context = 160;
    bool own_output = false;
    bool biases = false;
    const char* family = "bitnet-b1.58";
    bool input_norms = false;
    uint32_t sliding_window = 0;  // every third layer has none then
    shm::Packing linear_packing = shm::Packing::kTernary2Bit;
    kernels::BlockFormat block_format = kernels::BlockFormat::kQ8_0;  // of kBlocks
    shm::Packing table_packing = shm::Packing::kF16;
    std::vector<uint32_t> end_ids = {};
};

class TinyModel {
  public:
    TinyModel(const TinyShape& shape, uint64_t seed);

    std::span<const std::byte> segment() const { return {bytes_.data(), bytes_.size()}; }
    std::span<std::byte> mutable_segment() { return {bytes_.data(), bytes_.size()}; }
    shm::WeightsHeader& header();
    // The weight of a part.
    shm::TensorEntry& entry(shm::TensorPart part, uint32_t layer);

  private:
    AlignedArray<std::byte> bytes_;
};

}  // namespace bitnetd::worker::test
