#include "worker/prepare/gguf_input.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/check.h"
#include "common/base/quote.h"
#include "common/quant/float_rows.h"
#include "worker/prepare/gguf_parts.h"

namespace bitnetd::worker {
namespace {

constexpr uint64_t kBufferBytes = 1u << 20;

Result<void> check_dims(const gguf::TensorInfo& info, const LayoutOptions& options) {
    if (info.matrices() != 1) {
        return unsupported("it is " + std::to_string(info.matrices()) + " matrices of " +
                           to_string(info.shape()) + "; expected one matrix or vector");
    }
    if (info.type != quant::Type::kI2_S) return {};
    const uint64_t block = quant::block_elements(options.i2s_layout);
    if (info.dims[0] % block == 0) return {};
    return unsupported("it is I2_S with rows of " + std::to_string(info.dims[0]) +
                       "; the layout in use needs multiples of " + std::to_string(block));
}

// "blk.0.attn_q.weight" -> "blk.0.attn_q.scale"
std::string scale_name(std::string_view name) {
    constexpr std::string_view kWeight = ".weight";
    if (name.ends_with(kWeight)) name.remove_suffix(kWeight.size());
    return std::string(name) + ".scale";
}

Error not_finite(uint64_t first_row, uint64_t index, uint64_t columns) {
    return invalid("row " + std::to_string(first_row + index / columns) + ", column " +
                   std::to_string(index % columns) + " is not finite");
}

}  // namespace

Result<std::unique_ptr<ModelInput>> GgufInput::open(std::vector<NamedSource> files,
                                                    const LayoutOptions& options) {
    BITNETD_CHECK(!files.empty());
    BITNETD_TRY(sort_parts(files));
    std::unique_ptr<GgufInput> input(new GgufInput(std::move(files), options));
    BITNETD_TRY(input->read_heads());
    BITNETD_TRY(input->check_scales());
    return std::unique_ptr<ModelInput>(std::move(input));
}

Result<void> GgufInput::read_heads() {
    const bool split = parts_.size() > 1;
    for (size_t i = 0; i < parts_.size(); ++i) {
        auto added = add_part(i);
        if (!added && split) return std::move(added).error().within(parts_[i].name);
        if (!added) return added;
    }
    std::set<std::string_view> names;
    for (const ModelTensor& tensor : tensors_) {
        if (names.insert(tensor.name).second) continue;
        return invalid("tensor " + quote(tensor.name) + " is in two parts of the model");
    }
    if (!split) return {};
    auto total = check_tensor_total(metadata_, tensors_.size());
    if (!total) return std::move(total).error().within(parts_.front().name);
    return {};
}

Result<void> GgufInput::add_part(size_t index) {
    Source& part = *parts_[index].source;
    std::optional<uint64_t> file_type;
    if (index > 0) {
        BITNETD_ASSIGN(file_type, metadata_.integer("general.file_type", UINT32_MAX));
    }
    BITNETD_ASSIGN(gguf::File file, gguf::read(part, file_type));
    BITNETD_TRY(check_part(file.metadata, parts_, index));
    if (tensors_.size() + file.tensors.size() > gguf::kTensorsMax) {
        return invalid("with it the model has more than " + std::to_string(gguf::kTensorsMax) +
                       " tensors");
    }
    for (const gguf::TensorInfo& info : file.tensors) {
        auto added = add_tensor(file, info, part);
        if (!added) return std::move(added).error().within("tensor " + quote(info.name));
    }
    if (index == 0) metadata_ = std::move(file.metadata);
    return {};
}

Result<void> GgufInput::add_tensor(const gguf::File& file, const gguf::TensorInfo& info,
                                   Source& part) {
    BITNETD_TRY(check_dims(info, options_));
    tensors_.push_back(
        {info.name, info.type, info.shape(), info.bytes, quant::info_of(info.type).ternary});
    places_.push_back({&part, file.data_start + info.offset, info.row_scales});
    return {};
}

// Without row scales and without a scale of the matrix, the weights would be digits only.
Result<void> GgufInput::check_scales() const {
    for (size_t i = 0; i < tensors_.size(); ++i) {
        if (places_[i].row_scales == quant::RowScales::kCurrent) continue;
        const std::string scale = scale_name(tensors_[i].name);
        if (find(scale) != nullptr) continue;
        return invalid("tensor " + quote(tensors_[i].name) + " is " +
                       std::string(quant::name_of(tensors_[i].type)) +
                       " without scales in its rows, and there is no tensor " + quote(scale));
    }
    return {};
}

const GgufInput::Place& GgufInput::place_of(const ModelTensor& tensor) const {
    const ptrdiff_t index = &tensor - tensors_.data();
    BITNETD_CHECK(index >= 0 && static_cast<size_t>(index) < tensors_.size());
    return places_[static_cast<size_t>(index)];
}

uint64_t GgufInput::file_bytes() const {
    uint64_t bytes = 0;
    for (const NamedSource& part : parts_)
        bytes += part.source->bytes();
    return bytes;
}

// Parts differ in their numbers only, which have leading zeros: their order is that of the names.
Result<void> GgufInput::read_all(const ByteSink& sink) {
    std::vector<std::byte> buffer;
    for (const NamedSource& part : parts_) {
        const uint64_t bytes = part.source->bytes();
        for (uint64_t at = 0; at < bytes; at += buffer.size()) {
            buffer.resize(static_cast<size_t>(std::min(kBufferBytes, bytes - at)));
            auto read = part.source->read_at(at, buffer);
            if (!read) return std::move(read).error().within(part.name);
            sink(buffer);
        }
    }
    return {};
}

// Rows of floats are whole blocks without anything between them, so that a range of rows is one run
// of blocks, however long a row is.
Result<void> GgufInput::read_floats(const ModelTensor& tensor, uint64_t first, uint64_t count,
                                    std::span<float> out) {
    BITNETD_CHECK(first <= tensor.shape.rows && count <= tensor.shape.rows - first);
    BITNETD_CHECK(out.size() == count * tensor.shape.columns);
    if (quant::float_decoder(tensor.type) == nullptr) {
        return unsupported("its type " + std::string(quant::name_of(tensor.type)) +
                           " does not stand for floats");
    }
    const Place& place = place_of(tensor);
    const quant::TypeInfo& type = quant::info_of(tensor.type);
    const size_t blocks_max = kBufferBytes / type.block_bytes;
    uint64_t at =
        place.offset + first * tensor.shape.columns / type.block_elements * type.block_bytes;
    std::vector<std::byte> buffer;
    for (size_t done = 0; done < out.size();) {
        const size_t blocks = std::min(blocks_max, (out.size() - done) / type.block_elements);
        const std::span<float> values = out.subspan(done, blocks * type.block_elements);
        buffer.resize(blocks * type.block_bytes);
        BITNETD_TRY(place.part->read_at(at, buffer));
        quant::decode_floats(tensor.type, buffer, values);
        if (const auto bad = quant::first_not_finite(values)) {
            return not_finite(first, done + *bad, tensor.shape.columns);
        }
        at += buffer.size();
        done += values.size();
    }
    return {};
}

Result<void> GgufInput::read_bytes(const ModelTensor& tensor, uint64_t first, uint64_t count,
                                   std::span<std::byte> out) {
    BITNETD_CHECK(first <= tensor.shape.rows && count <= tensor.shape.rows - first);
    const quant::TypeInfo& type = quant::info_of(tensor.type);
    BITNETD_CHECK(type.row_header_bytes == 0 && type.tail_bytes == 0 && type.block_bytes > 0);
    const uint64_t row_bytes = tensor.shape.columns / type.block_elements * type.block_bytes;
    BITNETD_CHECK(out.size() == count * row_bytes);
    const Place& place = place_of(tensor);
    return place.part->read_at(place.offset + first * row_bytes, out);
}

Result<std::unique_ptr<quant::TernaryMatrix>> GgufInput::open_ternary(const ModelTensor& tensor) {
    BITNETD_CHECK(tensor.ternary);
    const Place& place = place_of(tensor);
    const auto read = [part = place.part, start = place.offset, bytes = tensor.bytes](
                          uint64_t offset, std::span<std::byte> out) -> Result<void> {
        BITNETD_CHECK(offset <= bytes && out.size() <= bytes - offset);
        return part->read_at(start + offset, out);
    };
    quant::TernaryOptions options;
    options.i2s_layout = options_.i2s_layout;
    options.tiles = options_.tl_tiles;
    options.row_scales = place.row_scales;
    return quant::open_ternary(tensor.type, tensor.shape, read, options);
}

}  // namespace bitnetd::worker
