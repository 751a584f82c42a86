// Goal: no bytes make the GGUF reader crash, read out of bounds or take memory the input does not
// justify; what it accepts lies within the input, and every tensor of it can be read or is refused
// with a reason.
// Method: the input is the file. One that begins with 'S' is a split set: a count, then each part
// behind its length. One that begins with 'T' is what a file says about one tensor's type.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/gguf/gguf_reader.h"
#include "common/gguf/split_name.h"
#include "common/quant/float_rows.h"
#include "common/quant/type_ids.h"
#include "worker/prepare/gguf_input.h"

namespace {

using namespace bitnetd;
using Bytes = std::span<const std::byte>;

void require(bool condition) {
    if (!condition) std::abort();
}

template <typename T>
bool accepted(const Result<T>& result) {
    require(result.ok() || !result.error().message.empty());
    return result.ok();
}

void look_up_all(const gguf::Metadata& keys) {
    for (const auto& [key, value] : keys.all()) {
        // Every look-up must give a value or an error for every type of value.
        static_cast<void>(keys.integer(key, UINT32_MAX));
        static_cast<void>(keys.number(key));
        static_cast<void>(keys.boolean(key));
        static_cast<void>(keys.text(key));
        static_cast<void>(keys.texts(key));
        static_cast<void>(keys.integers(key));
        static_cast<void>(keys.floats(key));
    }
}

void read_file(Bytes bytes) {
    MemorySource source(bytes);
    const auto file = gguf::read(source);
    if (!accepted(file)) return;
    std::vector<std::pair<uint64_t, uint64_t>> ranges;
    std::set<std::string> names;
    for (const auto& tensor : file->tensors) {
        require(file->data_start + tensor.offset + tensor.bytes <= bytes.size());
        require(names.insert(tensor.name).second);
        ranges.emplace_back(tensor.offset, tensor.offset + tensor.bytes);
    }
    std::sort(ranges.begin(), ranges.end());
    for (size_t i = 1; i < ranges.size(); ++i)
        require(ranges[i - 1].second <= ranges[i].first);
    look_up_all(file->metadata);
}

// The last rows: their end is the end of the data.
void read_tensor(worker::ModelInput& input, const worker::ModelTensor& tensor) {
    if (!tensor.ternary) {
        std::vector<float> row(tensor.shape.columns);
        accepted(input.read_floats(tensor, tensor.shape.rows - 1, 1, row));
        return;
    }
    const auto matrix = input.open_ternary(tensor);
    if (!accepted(matrix)) return;
    const uint64_t rows = (*matrix)->row_step();
    std::vector<int8_t> digits(rows * tensor.shape.columns);
    std::vector<float> scales((*matrix)->scale_count(rows));
    const auto read = (*matrix)->read_rows(tensor.shape.rows - rows, rows, digits, scales);
    if (!accepted(read)) return;
    for (const int8_t digit : digits)
        require(digit >= -1 && digit <= 1);
    require(!quant::first_not_finite(scales));
}

// Shapes small enough for a corpus, TL1 and TL2.
const std::vector<quant::TileOfShape> kTiles = {{{32, 64}, {32, 64, 32}},
                                                {{32, 256}, {32, 96, 32}}};

void read_model(const std::vector<Bytes>& parts, quant::I2sLayout layout) {
    std::vector<worker::NamedSource> files;
    uint64_t bytes = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
        const auto count = static_cast<uint32_t>(parts.size());
        files.push_back({gguf::part_name("m", static_cast<uint32_t>(i) + 1, count),
                         std::make_unique<MemorySource>(parts[i])});
        bytes += parts[i].size();
    }
    const auto input = worker::GgufInput::open(std::move(files), {layout, kTiles});
    if (!accepted(input)) return;
    require((*input)->file_bytes() == bytes);
    for (const auto& tensor : (*input)->tensors()) {
        // What is in one is not in another, so that all together are no longer than the files.
        require(tensor.bytes <= bytes);
        bytes -= tensor.bytes;
        require((*input)->find(tensor.name) == &tensor);
        read_tensor(**input, tensor);
    }
}

void read_split_set(Bytes data) {
    constexpr size_t kPartsMax = 4;
    if (data.empty()) return;
    const size_t count = 1 + std::to_integer<size_t>(data[0]) % kPartsMax;
    data = data.subspan(1);
    std::vector<Bytes> parts;
    for (size_t i = 0; i < count && data.size() >= sizeof(uint16_t); ++i) {
        const size_t length = std::min<size_t>(load<uint16_t>(data.data()), data.size() - 2);
        parts.push_back(data.subspan(sizeof(uint16_t), length));
        data = data.subspan(sizeof(uint16_t) + length);
    }
    if (!parts.empty()) read_model(parts, quant::I2sLayout::kBlocks128);
}

void resolve_type(Bytes data) {
    struct Said {
        uint32_t id;
        uint32_t file_type;  // 0: none
        uint64_t rows, columns, matrices, bytes_until_next;
        uint8_t alignment_bits;
    } said;
    if (data.size() < sizeof said) return;
    std::memcpy(&said, data.data(), sizeof said);
    quant::TensorPlace place;
    place.shape = {said.rows, said.columns};
    place.matrices = std::max<uint64_t>(1, said.matrices);
    place.bytes_until_next = said.bytes_until_next;
    place.alignment = uint64_t{1} << said.alignment_bits % 17;
    if (said.file_type != 0) place.file_type = said.file_type;
    const auto resolved = quant::resolve_type(said.id, place);
    if (!accepted(resolved)) return;
    require(resolved->bytes > 0 && resolved->bytes <= place.bytes_until_next);
    const auto matrix = quant::matrix_bytes(resolved->type, place.shape, resolved->row_scales);
    require(accepted(matrix) && *matrix * place.matrices == resolved->bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const Bytes bytes = std::as_bytes(std::span(data, size));
    if (size > 0 && data[0] == 'S') {
        read_split_set(bytes.subspan(1));
    } else if (size > 0 && data[0] == 'T') {
        resolve_type(bytes.subspan(1));
    } else {
        read_file(bytes);
        for (const auto layout : {quant::I2sLayout::kBlocks128, quant::I2sLayout::kSequential})
            read_model({bytes}, layout);
    }
    return 0;
}
