// A small bitnet-b1.58 model file made by the GGUF writer, with every part open to change: tests of
// prepare start from a good one and break what they are about.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "common/gguf/gguf_writer.h"

namespace bitnetd::worker::test {

struct FileTensor {
    std::vector<uint64_t> dims;
    quant::Type type = quant::Type::kF32;
    std::vector<std::byte> data;
};

// Digits of a matrix as an I2_S tensor: blocks of 128 weights in 32 bytes, the first weight of a
// byte in its top bits, the scale behind them.
FileTensor i2_s_tensor(uint64_t columns, uint64_t rows, const std::vector<int8_t>& digits,
                       float scale);
FileTensor f32_tensor(const std::vector<uint64_t>& dims, const std::vector<float>& values);

class ModelFile {
  public:
    static constexpr uint32_t kLayers = 2;
    static constexpr uint32_t kHidden = 128;
    static constexpr uint32_t kFfn = 256;
    static constexpr uint32_t kHeads = 4;
    static constexpr uint32_t kKvHeads = 2;
    static constexpr uint32_t kHeadDim = 32;
    static constexpr uint32_t kVocab = 258;  // the 256 bytes and two control tokens
    static constexpr uint32_t kContext = 64;

    explicit ModelFile(uint64_t seed = 1);

    // Keys by name without "bitnet-b1.58." where they belong to the architecture.
    std::string architecture = "bitnet-b1.58";
    std::map<std::string, uint32_t> integers;  // of the architecture
    std::map<std::string, float> numbers;      // of the architecture
    std::map<std::string, std::string> texts;  // whole keys
    std::vector<std::string> tokens;
    std::map<std::string, FileTensor> tensors;
    std::map<std::string, std::vector<int8_t>> digits;  // of each ternary tensor
    float scale = 0.75f;

    std::vector<std::byte> bytes() const;

  private:
    void add_ternary(const std::string& name, uint64_t columns, uint64_t rows);
    void add_vector(const std::string& name, uint64_t size);
    void add_layer(const std::string& prefix);

    std::mt19937_64 random_;
};

}  // namespace bitnetd::worker::test
