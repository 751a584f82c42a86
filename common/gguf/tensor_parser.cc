#include "common/gguf/tensor_parser.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/quote.h"
#include "common/quant/type_ids.h"

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
        if (dim == 0 || !product || *product > quant::kElementsMax) {
            return invalid("its dimensions " + show_dims(tensor) +
                           " must be at least 1 with a product of at most " +
                           std::to_string(quant::kElementsMax));
        }
        elements = *product;
    }
    return {};
}

Result<void> parse_after_name(Cursor& cursor, TensorInfo& tensor) {
    BITNETD_TRY(parse_dims(cursor, tensor));
    BITNETD_ASSIGN(tensor.type_id, cursor.read<uint32_t>());
    BITNETD_ASSIGN(tensor.offset, cursor.read<uint64_t>());
    return {};
}

Result<void> check_offset(const TensorInfo& tensor, const DataSection& section) {
    const std::string where =
        "tensor " + quote(tensor.name) + " is at offset " + std::to_string(tensor.offset);
    if (tensor.offset % section.alignment != 0) {
        return invalid(where + ", which is no multiple of the alignment " +
                       std::to_string(section.alignment));
    }
    if (tensor.offset >= section.bytes) {
        return invalid(where + ", but the file has only " + std::to_string(section.bytes) +
                       " bytes of tensor data");
    }
    return {};
}

// `next` is null for the last tensor of the file.
Result<void> resolve_type(TensorInfo& tensor, const TensorInfo* next, const DataSection& section) {
    const uint64_t end = next == nullptr ? section.bytes : next->offset;
    const quant::TensorPlace place{tensor.shape(), tensor.matrices(), end - tensor.offset,
                                   section.alignment, section.file_type};
    auto resolved = quant::resolve_type(tensor.type_id, place);
    if (!resolved) {
        const std::string until = next == nullptr ? "the end of the file"
                                                  : "tensor " + quote(next->name) + " at offset " +
                                                        std::to_string(next->offset);
        return std::move(resolved).error().within("tensor " + quote(tensor.name) + " at offset " +
                                                  std::to_string(tensor.offset) + ", before " +
                                                  until);
    }
    tensor.type = resolved->type;
    tensor.row_scales = resolved->row_scales;
    tensor.bytes = resolved->bytes;
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

// Each tensor ends before the next one begins, so no two overlap.
Result<void> resolve_types(std::span<TensorInfo> tensors, const DataSection& section) {
    std::vector<TensorInfo*> by_offset;
    by_offset.reserve(tensors.size());
    for (TensorInfo& tensor : tensors) {
        BITNETD_TRY(check_offset(tensor, section));
        by_offset.push_back(&tensor);
    }
    std::sort(by_offset.begin(), by_offset.end(),
              [](const TensorInfo* a, const TensorInfo* b) { return a->offset < b->offset; });
    for (size_t i = 0; i < by_offset.size(); ++i) {
        const TensorInfo* next = i + 1 < by_offset.size() ? by_offset[i + 1] : nullptr;
        BITNETD_TRY(resolve_type(*by_offset[i], next, section));
    }
    return {};
}

}  // namespace bitnetd::gguf
