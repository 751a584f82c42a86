#include "tests/support/worker/tiny_model.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>

#include "common/base/bytes.h"
#include "worker/kernels/block_pack.h"
#include "worker/kernels/dispatch.h"
#include "worker/kernels/ternary_pack.h"
#include "worker/model/weights_view.h"

namespace bitnetd::worker::test {
namespace {

using shm::Packing;
using shm::TensorEntry;
using shm::TensorPart;
using shm::TensorRole;
using shm::WeightsHeader;

class Builder {
  public:
    Builder(const TinyShape& shape, uint64_t seed)
        : shape_(shape),
          family_(*find_family(shape.family)),
          sizes_{shape.hidden, shape.ffn, shape.heads, shape.kv_heads, shape.head_dim, shape.vocab},
          random_(seed) {}

    AlignedArray<std::byte> build() {
        plan();
        uint64_t offset =
            round_up(sizeof(WeightsHeader) + entries_.size() * sizeof(TensorEntry), 64);
        for (TensorEntry& entry : entries_) {
            entry.offset = offset;
            offset = round_up(offset + entry.bytes, 64);
        }
        AlignedArray<std::byte> bytes(offset);
        std::memset(bytes.data(), 0, offset);
        write_header(bytes.data(), offset);
        std::memcpy(bytes.data() + sizeof(WeightsHeader), entries_.data(),
                    entries_.size() * sizeof(TensorEntry));
        for (const TensorEntry& entry : entries_)
            fill(entry, bytes.data() + entry.offset);
        return bytes;
    }

  private:
    void plan() {
        for (const TensorSpec& spec : kTensorsOutside) {
            if (spec.part == TensorPart::kOutput && !shape_.own_output) continue;
            add(spec, shm::kNoLayer);
        }
        add_values(TensorPart::kRopeCosSin, TensorRole::kWeight, shm::kNoLayer, shape_.context,
                   shape_.rope_dims);
        for (uint32_t i = 0; i < shape_.layers; ++i) {
            for (const TensorSpec& spec : family_.layer_tensors) {
                add(spec, i);
                if (spec.kind != TensorKind::kLinear) continue;
                if (shape_.biases) add_extra(spec, TensorRole::kBias, i, spec.rows);
                if (shape_.input_norms) add_extra(spec, TensorRole::kInputNorm, i, spec.columns);
            }
        }
    }

    void add(const TensorSpec& spec, uint32_t layer) {
        const uint32_t rows = sizes_.of(spec.rows);
        const uint32_t columns = sizes_.of(spec.columns);
        if (spec.kind == TensorKind::kVector) {
            return add_values(spec.part, TensorRole::kWeight, layer, rows, columns);
        }
        const Packing packing =
            spec.kind == TensorKind::kTable ? shape_.table_packing : shape_.linear_packing;
        const auto format =
            packing == Packing::kBlocks ? static_cast<uint32_t>(shape_.block_format) : 0;
        const float scale =
            packing == Packing::kTernary2Bit ? 1.2f / std::sqrt(static_cast<float>(columns)) : 1.0f;
        entries_.push_back({spec.part, TensorRole::kWeight, layer, packing, format, scale, rows,
                            columns, 0, packed_bytes(packing, format, rows, columns).value()});
    }

    void add_extra(const TensorSpec& spec, TensorRole role, uint32_t layer, TensorSize size) {
        add_values(spec.part, role, layer, 1, sizes_.of(size));
    }

    void add_values(TensorPart part, TensorRole role, uint32_t layer, uint32_t rows,
                    uint32_t columns) {
        entries_.push_back({part, role, layer, Packing::kF32, 0, 1, rows, columns, 0,
                            uint64_t{rows} * columns * sizeof(float)});
    }

    void write_header(std::byte* to, uint64_t bytes) const {
        WeightsHeader header{};
        header.magic = shm::kWeightsMagic;
        header.abi_version = shm::kWeightsAbiVersion;
        header.header_bytes = sizeof header;
        header.segment_bytes = bytes;
        std::strcpy(header.family, shape_.family);
        header.tensor_count = static_cast<uint32_t>(entries_.size());
        header.layers = shape_.layers;
        header.hidden = shape_.hidden;
        header.ffn = shape_.ffn;
        header.heads = shape_.heads;
        header.kv_heads = shape_.kv_heads;
        header.head_dim = shape_.head_dim;
        header.rope_dims = shape_.rope_dims;
        header.vocab = shape_.vocab;
        header.context = shape_.context;
        header.norm_eps = 1e-5f;
        header.activation = family_.activation;
        header.embedding_scale = 1;
        header.sliding_window = shape_.sliding_window;
        header.window_pattern = shape_.sliding_window > 0 ? 3 : 0;
        header.attention_scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim));
        header.end_id_count = static_cast<uint32_t>(shape_.end_ids.size());
        for (size_t i = 0; i < shape_.end_ids.size(); ++i)
            header.end_ids[i] = shape_.end_ids[i];
        std::memcpy(to, &header, sizeof header);
    }

    void fill(const TensorEntry& entry, std::byte* to) {
        switch (entry.packing) {
            case Packing::kTernary2Bit:
                return fill_ternary(entry, reinterpret_cast<uint8_t*>(to));
            case Packing::kBlocks:
                return fill_blocks(entry, reinterpret_cast<uint8_t*>(to));
            default:
                return fill_values(entry, to);
        }
    }

    void fill_ternary(const TensorEntry& entry, uint8_t* to) {
        std::vector<int8_t> digits(entry.columns);
        for (uint32_t row = 0; row < entry.rows; ++row) {
            for (int8_t& digit : digits)
                digit = static_cast<int8_t>(random_() % 3) - 1;
            kernels::pack_ternary_row(digits.data(), entry.columns,
                                      to + row * entry.bytes / entry.rows);
        }
    }

    // Of a form without scales of its own: one factor for 32 columns.
    void fill_blocks(const TensorEntry& entry, uint8_t* to) {
        const kernels::BlockLayout& layout = kernels::layout_of(shape_.block_format);
        quant::BlockCodes numbers;
        numbers.codes.resize(entry.columns);
        numbers.d.resize(entry.columns / static_cast<uint32_t>(layout.unit));
        numbers.m.resize(numbers.d.size());
        numbers.scales.assign(entry.columns / static_cast<uint32_t>(layout.group), 1);
        numbers.minima.assign(numbers.scales.size(), 0);
        const float factor = 2.0f / static_cast<float>(layout.code_max) /
                             std::sqrt(static_cast<float>(entry.columns));
        for (uint32_t row = 0; row < entry.rows; ++row) {
            for (int8_t& code : numbers.codes) {
                const auto stored = random_() % static_cast<uint64_t>(layout.code_max + 1);
                code = static_cast<int8_t>(static_cast<int>(stored) - layout.bias);
            }
            for (uint16_t& d : numbers.d)
                kernels::find("scalar")->f32_to_f16(1, &factor, &d);
            kernels::pack_block_row(shape_.block_format, numbers, row, to);
        }
    }

    void fill_values(const TensorEntry& entry, std::byte* to) {
        std::vector<float> values(uint64_t{entry.rows} * entry.columns);
        if (entry.part == TensorPart::kRopeCosSin) {
            fill_rope(values);
        } else {
            const bool is_matrix = entry.rows > 1;
            const bool is_bias = entry.role == TensorRole::kBias;
            const float mean = is_matrix || is_bias ? 0.0f : 1.0f;
            const bool is_linear = is_matrix && entry.layer != shm::kNoLayer;
            const float width = is_linear   ? 2.0f / std::sqrt(static_cast<float>(entry.columns))
                                : is_matrix ? 0.6f
                                            : 0.2f;
            for (float& value : values)
                value = mean + width * uniform();
        }
        if (entry.packing == Packing::kF32) {
            std::memcpy(to, values.data(), entry.bytes);
        } else if (entry.packing == Packing::kF16) {
            kernels::find("scalar")->f32_to_f16(static_cast<int64_t>(values.size()), values.data(),
                                                reinterpret_cast<uint16_t*>(to));
        } else {
            for (size_t i = 0; i < values.size(); ++i)
                std::memcpy(to + 2 * i, reinterpret_cast<std::byte*>(&values[i]) + 2, 2);
        }
    }

    void fill_rope(std::vector<float>& values) const {
        const uint32_t half = shape_.rope_dims / 2;
        for (uint32_t position = 0; position < shape_.context; ++position) {
            for (uint32_t p = 0; p < half; ++p) {
                const double angle = position * std::pow(10000.0, -2.0 * p / shape_.rope_dims);
                float* row = values.data() + size_t{position} * shape_.rope_dims;
                row[p] = static_cast<float>(std::cos(angle));
                row[half + p] = static_cast<float>(std::sin(angle));
            }
        }
    }

    float uniform() { return static_cast<float>(random_() >> 40) * 0x1p-23f - 1.0f; }

    TinyShape shape_;
    const Family& family_;
    ModelSizes sizes_;
    std::mt19937_64 random_;
    std::vector<TensorEntry> entries_;
};

}  // namespace

TinyModel::TinyModel(const TinyShape& shape, uint64_t seed)
    : bytes_(Builder(shape, seed).build()) {}

WeightsHeader& TinyModel::header() {
    return *reinterpret_cast<WeightsHeader*>(bytes_.data());
}

TensorEntry& TinyModel::entry(TensorPart part, uint32_t layer) {
    auto* entries = reinterpret_cast<TensorEntry*>(bytes_.data() + sizeof(WeightsHeader));
    for (uint32_t i = 0; i < header().tensor_count; ++i) {
        const bool same = entries[i].part == part && entries[i].layer == layer;
        if (same && entries[i].role == TensorRole::kWeight) return entries[i];
    }
    std::abort();
}

}  // namespace bitnetd::worker::test
