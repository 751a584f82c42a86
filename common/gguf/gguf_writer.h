// Writes GGUF version 3 files: first every key and tensor is declared, then head() gives all bytes
// before the tensor data. The data follows in the order of declaration, each tensor padded to the
// alignment; padded_bytes() says how far. Nothing large is held here, so a converter can stream.
// The caller is trusted: a type or shape that cannot be stored is a bug (BITNETD_CHECK).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/gguf/metadata.h"
#include "common/quant/quant_types.h"

namespace bitnetd::gguf {

class Writer {
  public:
    // Also writes general.alignment when it is not the default.
    explicit Writer(uint64_t alignment = 32);

    void add_u32(std::string_view key, uint32_t value);
    void add_u64(std::string_view key, uint64_t value);
    void add_i32(std::string_view key, int32_t value);
    void add_f32(std::string_view key, float value);
    void add_f64(std::string_view key, double value);
    void add_bool(std::string_view key, bool value);
    void add_text(std::string_view key, std::string_view value);
    void add_texts(std::string_view key, std::span<const std::string> values);
    void add_i32s(std::string_view key, std::span<const int32_t> values);
    void add_f32s(std::string_view key, std::span<const float> values);
    // As it was read.
    void add(std::string_view key, const Value& value);

    // dims fastest-varying first, 0 to 4 of them.
    void add_tensor(std::string_view name, std::span<const uint64_t> dims, quant::Type type);

    // Everything before the first tensor's data.
    std::vector<std::byte> head() const;
    // Bytes that a tensor of `bytes` takes in the file.
    uint64_t padded_bytes(uint64_t bytes) const;
    // A whole file in memory; data[i] belongs to the i-th tensor and has its exact size.
    std::vector<std::byte> file(std::span<const std::vector<std::byte>> data) const;

  private:
    struct Tensor {
        std::string name;
        std::vector<uint64_t> dims;
        quant::Type type;
        uint64_t bytes;
    };

    void add_key(std::string_view key, ValueType type);

    uint64_t alignment_;
    uint64_t key_count_ = 0;
    std::vector<std::byte> keys_;
    std::vector<Tensor> tensors_;
};

}  // namespace bitnetd::gguf
