#include "tests/support/bench/model_shape.h"

namespace bitnetd::bench {
namespace {

using enum quant::Type;

constexpr ModelShape llama_1b(const char* name, quant::Type linear, quant::Type precise,
                              quant::Type table) {
    return {.name = name,
            .architecture = "llama",
            .layers = 16,
            .hidden = 2048,
            .ffn = 8192,
            .heads = 32,
            .kv_heads = 8,
            .head_dim = 64,
            .vocab = 128'256,
            .context = 4096,
            .rope_base = 500'000,
            .linear = linear,
            .linear_precise = precise,
            .table = table,
            .own_output = false,
            .sub_norms = false};
}

constexpr ModelShape kShapes[] = {
    // BitNet b1.58 2B-4T
    {"2b4t", "bitnet-b1.58", 30, 2560, 6912, 20, 5, 128, 128'256, 4096, 500'000,  //
     kI2_S, kI2_S, kF16, false, true},
    // 1bitLLM's large and 3B; rows of 8640 do not fit I2_S
    {"0.7b", "bitnet", 24, 1536, 4096, 16, 16, 96, 32'002, 2048, 10'000,  //
     kI2_S, kI2_S, kF16, false, true},
    {"3b", "bitnet", 26, 3200, 8640, 32, 32, 100, 32'002, 2048, 10'000,  //
     kIQ2_BN, kIQ2_BN, kF16, false, true},
    // Llama3-8B-1.58
    {"8b", "llama", 32, 4096, 14'336, 32, 8, 128, 128'256, 8192, 500'000,  //
     kI2_S, kI2_S, kF16, true, false},
    // Llama 3.2 1B; q4_k is the mix called Q4_K_M
    llama_1b("1b-llama-q8_0", kQ8_0, kQ8_0, kQ8_0),
    llama_1b("1b-llama-q4_k", kQ4_K, kQ6_K, kQ6_K),
    llama_1b("1b-llama-bf16", kBF16, kBF16, kBF16),
};

}  // namespace

std::span<const ModelShape> model_shapes() {
    return kShapes;
}

const ModelShape* find_shape(std::string_view name) {
    for (const ModelShape& shape : kShapes) {
        if (name == shape.name) return &shape;
    }
    return nullptr;
}

std::string shape_names() {
    std::string out;
    for (const ModelShape& shape : kShapes)
        out += (out.empty() ? "" : ", ") + std::string(shape.name);
    return out;
}

}  // namespace bitnetd::bench
