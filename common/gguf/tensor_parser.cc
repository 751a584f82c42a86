#include "common/gguf/tensor_parser.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/quote.h"

namespace bitnetd::gguf {
namespace {

std::string show_dims(const TensorInfo& tensor) {
    std::string out = "[";
    for (uint32_t i = 0; i < tensor.dim_count; ++i) {
        out += (i == 0 ? "" : ", ") + std::to_string(tensor.dims[i]);
    }
    return out + "]";
}

Result<void> parse_dims(Cursor& cursor, TensorInfo& tensor) {
    BITNETD_ASSIGN(tensor.dim_count, cursor.read<uint32_t>());
    if (tensor.dim_count > kDimsMax) {
        return invalid("it has " + std::to_string(tensor.dim_count) + " dimensions; at most " +
                       std::to_string(kDimsMax) + " are possible");
    }
    for (uint32_t i = 0; i < tensor.dim_count; ++i) {
        BITNETD_ASSIGN(tensor.dims[i], cursor.read<uint64_t>());
    }
    uint64_t elements = 1;
    for (const uint64_t dim : tensor.dims) {
        const auto product = checked_mul(elements, dim);
        if (dim == 0 || !product || *product > kElementsMax) {
            return invalid("its dimensions " + show_dims(tensor) +
                           " must be at least 1 with a product of at most " +
                           std::to_string(kElementsMax));
        }
        elements = *product;
    }
    return {};
}

Result<void> parse_type(Cursor& cursor, TensorInfo& tensor) {
    BITNETD_ASSIGN(const uint32_t id, cursor.read<uint32_t>());
    tensor.type = find_type(id);
    if (tensor.type == nullptr) {
        return invalid("its type id " + std::to_string(static_cast<int32_t>(id)) + " is unknown");
    }
    if (tensor.type->block_elements == 0) {
        return unsupported("its type " + std::string(tensor.type->name) + " (id " +
                           std::to_string(id) + ") is not supported");
    }
    const uint64_t matrices = tensor.dims[2] * tensor.dims[3];
    const auto bytes = tensor_bytes(*tensor.type, tensor.dims[0], tensor.dims[1], matrices);
    if (!bytes) {
        return invalid("its dimensions " + show_dims(tensor) + " do not fit type " +
                       std::string(tensor.type->name) + ", which needs rows of a multiple of " +
                       std::to_string(tensor.type->block_elements) + " in groups of " +
                       std::to_string(tensor.type->rows_multiple));
    }
    tensor.bytes = *bytes;
    return {};
}

Result<void> parse_after_name(Cursor& cursor, TensorInfo& tensor) {
    BITNETD_TRY(parse_dims(cursor, tensor));
    BITNETD_TRY(parse_type(cursor, tensor));
    BITNETD_ASSIGN(tensor.offset, cursor.read<uint64_t>());
    return {};
}

Result<void> check_place(const TensorInfo& tensor, uint64_t alignment, uint64_t data_bytes) {
    if (tensor.offset % alignment != 0) {
        return invalid("tensor " + quote(tensor.name) + " is at offset " +
                       std::to_string(tensor.offset) + ", which is no multiple of the alignment " +
                       std::to_string(alignment));
    }
    const auto end = checked_add(tensor.offset, tensor.bytes);
    if (!end || *end > data_bytes) {
        return invalid("tensor " + quote(tensor.name) + " needs " + std::to_string(tensor.bytes) +
                       " bytes at offset " + std::to_string(tensor.offset) +
                       ", but the file has only " + std::to_string(data_bytes) +
                       " bytes of tensor data");
    }
    return {};
}

}  // namespace

Result<TensorInfo> parse_tensor(Cursor& cursor) {
    TensorInfo tensor;
    BITNETD_ASSIGN(tensor.name, cursor.read_string("its name", kTensorNameBytesMax));
    if (tensor.name.empty() || tensor.name.find('\0') != std::string::npos) {
        return invalid("its name " + quote(tensor.name) + " is empty or has a NUL byte");
    }
    if (auto parsed = parse_after_name(cursor, tensor); !parsed) {
        return std::move(parsed).error().within("tensor " + quote(tensor.name));
    }
    return tensor;
}

Result<void> check_places(const std::vector<TensorInfo>& tensors, uint64_t alignment,
                          uint64_t data_bytes) {
    std::vector<const TensorInfo*> by_offset;
    by_offset.reserve(tensors.size());
    for (const TensorInfo& tensor : tensors) {
        BITNETD_TRY(check_place(tensor, alignment, data_bytes));
        by_offset.push_back(&tensor);
    }
    std::sort(by_offset.begin(), by_offset.end(),
              [](const TensorInfo* a, const TensorInfo* b) { return a->offset < b->offset; });
    for (size_t i = 1; i < by_offset.size(); ++i) {
        const TensorInfo& before = *by_offset[i - 1];
        const TensorInfo& after = *by_offset[i];
        if (before.offset + before.bytes > after.offset) {
            return invalid("tensors " + quote(before.name) + " and " + quote(after.name) +
                           " overlap");
        }
    }
    return {};
}

}  // namespace bitnetd::gguf
