// Reads the head of a safetensors file: every tensor's name, type, shape and place, all of it
// checked against the file. Tensor data is left in the source, at data_start + begin.
// The folder reads Hugging Face checkpoints: this file and header_parser.h one file, shard_index.h
// several as one, hf_config.h and its neighbours the JSON files beside them, tensor_names.h and
// row_permutation.h what differs from GGUF. All input is untrusted; nothing here opens files. Used
// by the loader process and by tests. Pickled checkpoints are programs and are never read.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/source.h"

namespace bitnetd::safetensors {

// The limit of the format, then limits of our own.
inline constexpr uint64_t kHeaderBytesMax = 100'000'000;
inline constexpr size_t kTensorsMax = 65'536;
inline constexpr size_t kNameBytesMax = 512;
inline constexpr size_t kDimsMax = 8;
inline constexpr uint64_t kElementsMax = 1ull << 48;  // of one tensor
inline constexpr size_t kMetadataMax = 4096;

enum class DType : uint8_t {
    kBool,
    kU8,
    kI8,
    kF8_E4M3,
    kF8_E5M2,
    kF8_E8M0,
    kF16,
    kBF16,
    kI16,
    kU16,
    kF32,
    kI32,
    kU32,
    kF64,
    kI64,
    kU64,
    kC64,
};
std::string_view name_of(DType type);
uint32_t bytes_of(DType type);
// Nothing for an unknown name and for the types of less than a byte, which are not read.
std::optional<DType> find_dtype(std::string_view name);

struct TensorInfo {
    std::string name;
    DType type = DType::kF32;
    std::vector<uint64_t> shape;  // outermost first; empty for one number
    uint64_t begin = 0;           // from File::data_start
    uint64_t end = 0;

    uint64_t bytes() const { return end - begin; }
};

// "[3, 4]", for messages.
std::string show_shape(const std::vector<uint64_t>& shape);

struct File {
    std::map<std::string, std::string> metadata;                // "__metadata__"
    std::vector<TensorInfo> tensors;                            // in the order of their data
    std::map<std::string, size_t, std::less<>> tensor_indices;  // name -> index in `tensors`
    uint64_t data_start = 0;
    uint64_t data_bytes = 0;

    // Null when absent.
    const TensorInfo* find_tensor(std::string_view name) const;
};

// The error names the tensor, what was expected and what was found.
Result<File> read(Source& source);

}  // namespace bitnetd::safetensors
