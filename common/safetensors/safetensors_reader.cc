#include "common/safetensors/safetensors_reader.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/quote.h"
#include "common/safetensors/header_parser.h"

namespace bitnetd::safetensors {
namespace {

struct Known {
    DType type;
    std::string_view name;
    uint32_t bytes;
};

// In the order of DType.
constexpr Known kTypes[] = {
    {DType::kBool, "BOOL", 1},       {DType::kU8, "U8", 1},
    {DType::kI8, "I8", 1},           {DType::kF8_E4M3, "F8_E4M3", 1},
    {DType::kF8_E5M2, "F8_E5M2", 1}, {DType::kF8_E8M0, "F8_E8M0", 1},
    {DType::kF16, "F16", 2},         {DType::kBF16, "BF16", 2},
    {DType::kI16, "I16", 2},         {DType::kU16, "U16", 2},
    {DType::kF32, "F32", 4},         {DType::kI32, "I32", 4},
    {DType::kU32, "U32", 4},         {DType::kF64, "F64", 8},
    {DType::kI64, "I64", 8},         {DType::kU64, "U64", 8},
    {DType::kC64, "C64", 8},
};

constexpr bool in_order() {
    for (size_t i = 0; i < std::size(kTypes); ++i) {
        if (static_cast<size_t>(kTypes[i].type) != i) return false;
    }
    return true;
}
static_assert(in_order());

const Known& known(DType type) {
    const auto index = static_cast<size_t>(type);
    BITNETD_CHECK(index < std::size(kTypes));
    return kTypes[index];
}

std::string of(const TensorInfo& tensor) {
    return "tensor " + quote(tensor.name);
}

// The shape's bytes must be those between the offsets.
Result<void> check_size(const TensorInfo& tensor) {
    if (tensor.begin > tensor.end) {
        return invalid(of(tensor) + " ends at byte " + std::to_string(tensor.end) +
                       ", before it begins at " + std::to_string(tensor.begin));
    }
    uint64_t elements = 1;
    for (const uint64_t dim : tensor.shape) {
        // A later 0 does not excuse a product that is too large.
        const auto product = checked_mul(elements, std::max<uint64_t>(dim, 1));
        if (!product || *product > kElementsMax) {
            return invalid(of(tensor) + " of " + show_shape(tensor.shape) + " is too large");
        }
        elements = *product;
    }
    if (std::find(tensor.shape.begin(), tensor.shape.end(), 0u) != tensor.shape.end()) elements = 0;
    const uint64_t expected = elements * bytes_of(tensor.type);
    if (expected == tensor.bytes()) return {};
    return invalid(of(tensor) + " of " + show_shape(tensor.shape) + " " +
                   std::string(name_of(tensor.type)) + " takes " + std::to_string(expected) +
                   " bytes, but has " + std::to_string(tensor.bytes()));
}

// Sorted tensors cover the data section without holes, overlap or rest.
Result<void> check_cover(const File& file) {
    uint64_t covered = 0;
    for (const TensorInfo& tensor : file.tensors) {
        if (tensor.begin != covered) {
            return invalid(of(tensor) + " begins at byte " + std::to_string(tensor.begin) +
                           " of the data, but what is before it ends at " +
                           std::to_string(covered));
        }
        covered = tensor.end;
    }
    if (covered == file.data_bytes) return {};
    return invalid("the tensors end at byte " + std::to_string(covered) +
                   " of the data, but the file has " + std::to_string(file.data_bytes));
}

Result<std::string> read_header(Source& source) {
    constexpr uint64_t kLengthBytes = sizeof(uint64_t);
    if (source.bytes() < kLengthBytes) {
        return invalid("a file of " + std::to_string(source.bytes()) + " bytes is no safetensors");
    }
    std::array<std::byte, kLengthBytes> length_bytes;
    BITNETD_TRY(source.read_at(0, length_bytes));
    const auto length = load<uint64_t>(length_bytes.data());
    const uint64_t left = source.bytes() - kLengthBytes;
    if (length > kHeaderBytesMax || length > left) {
        return invalid("the header's length is " + std::to_string(length) +
                       "; there can be at most " + std::to_string(std::min(left, kHeaderBytesMax)) +
                       " bytes");
    }
    std::string text(static_cast<size_t>(length), '\0');
    BITNETD_TRY(source.read_at(kLengthBytes, std::as_writable_bytes(std::span(text))));
    return text;
}

}  // namespace

std::string_view name_of(DType type) {
    return known(type).name;
}
uint32_t bytes_of(DType type) {
    return known(type).bytes;
}

std::optional<DType> find_dtype(std::string_view name) {
    for (const Known& type : kTypes) {
        if (type.name == name) return type.type;
    }
    return std::nullopt;
}

std::string show_shape(const std::vector<uint64_t>& shape) {
    std::string out = "[";
    for (const uint64_t dim : shape)
        out += (out.size() > 1 ? ", " : "") + std::to_string(dim);
    return out + "]";
}

const TensorInfo* File::find_tensor(std::string_view name) const {
    const auto at = tensor_indices.find(name);
    return at == tensor_indices.end() ? nullptr : &tensors[at->second];
}

Result<File> read(Source& source) {
    BITNETD_ASSIGN(const std::string text, read_header(source));
    BITNETD_ASSIGN(Header header, parse_header(text));
    File file;
    file.metadata = std::move(header.metadata);
    file.tensors = std::move(header.tensors);
    file.data_start = sizeof(uint64_t) + text.size();
    file.data_bytes = source.bytes() - file.data_start;
    for (const TensorInfo& tensor : file.tensors)
        BITNETD_TRY(check_size(tensor));
    std::stable_sort(file.tensors.begin(), file.tensors.end(),
                     [](const TensorInfo& a, const TensorInfo& b) {
                         return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
                     });
    BITNETD_TRY(check_cover(file));
    for (size_t i = 0; i < file.tensors.size(); ++i)
        file.tensor_indices.emplace(file.tensors[i].name, i);
    return file;
}

}  // namespace bitnetd::safetensors
