#include "tests/support/worker/tiny_model.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>

#include "common/base/bytes.h"
#include "worker/kernels/dispatch.h"
#include "worker/kernels/ternary_pack.h"

namespace bitnetd::worker::test {
namespace {

using shm::Packing;
using shm::TensorEntry;
using shm::TensorPart;
using shm::WeightsHeader;

class Builder {
  public:
    Builder(const TinyShape& shape, uint64_t seed) : shape_(shape), random_(seed) {}

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
        const uint32_t query = shape_.heads * shape_.head_dim;
        const uint32_t kv = shape_.kv_heads * shape_.head_dim;
        const uint32_t hidden = shape_.hidden;
        add(TensorPart::kTokenEmbedding, shm::kNoLayer, shape_.table_packing, shape_.vocab, hidden);
        add(TensorPart::kOutputNorm, shm::kNoLayer, Packing::kF32, 1, hidden);
        if (shape_.own_output) {
            add(TensorPart::kOutput, shm::kNoLayer, shape_.table_packing, shape_.vocab, hidden);
        }
        add(TensorPart::kRopeCosSin, shm::kNoLayer, Packing::kF32, shape_.context,
            shape_.rope_dims);
        for (uint32_t i = 0; i < shape_.layers; ++i) {
            add(TensorPart::kAttnNorm, i, Packing::kF32, 1, hidden);
            add(TensorPart::kAttnQ, i, Packing::kTernary2Bit, query, hidden);
            add(TensorPart::kAttnK, i, Packing::kTernary2Bit, kv, hidden);
            add(TensorPart::kAttnV, i, Packing::kTernary2Bit, kv, hidden);
            add(TensorPart::kAttnSubNorm, i, Packing::kF32, 1, query);
            add(TensorPart::kAttnOutput, i, Packing::kTernary2Bit, hidden, query);
            add(TensorPart::kFfnNorm, i, Packing::kF32, 1, hidden);
            add(TensorPart::kFfnGate, i, Packing::kTernary2Bit, shape_.ffn, hidden);
            add(TensorPart::kFfnUp, i, Packing::kTernary2Bit, shape_.ffn, hidden);
            add(TensorPart::kFfnSubNorm, i, Packing::kF32, 1, shape_.ffn);
            add(TensorPart::kFfnDown, i, Packing::kTernary2Bit, hidden, shape_.ffn);
            if (!shape_.biases) continue;
            add_bias(TensorPart::kAttnQ, i, query);
            add_bias(TensorPart::kAttnK, i, kv);
            add_bias(TensorPart::kAttnV, i, kv);
            add_bias(TensorPart::kAttnOutput, i, hidden);
        }
    }

    void add(TensorPart part, uint32_t layer, Packing packing, uint32_t rows, uint32_t columns) {
        uint64_t bytes = uint64_t{rows} * columns * (packing == Packing::kF32 ? 4 : 2);
        float scale = 1;
        if (packing == Packing::kTernary2Bit) {
            bytes = rows * static_cast<uint64_t>(kernels::ternary_row_bytes(columns));
            scale = 1.2f / std::sqrt(static_cast<float>(columns));
        }
        entries_.push_back(
            {part, shm::TensorRole::kWeight, layer, packing, 0, scale, rows, columns, 0, bytes});
    }

    void add_bias(TensorPart part, uint32_t layer, uint32_t outputs) {
        add(part, layer, Packing::kF32, 1, outputs);
        entries_.back().role = shm::TensorRole::kBias;
    }

    void write_header(std::byte* to, uint64_t bytes) const {
        WeightsHeader header{};
        header.magic = shm::kWeightsMagic;
        header.abi_version = shm::kWeightsAbiVersion;
        header.header_bytes = sizeof header;
        header.segment_bytes = bytes;
        std::strcpy(header.family, "bitnet-b1.58");
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
        header.activation = shm::Activation::kRelu2;
        header.embedding_scale = 1;
        header.attention_scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim));
        header.end_id_count = static_cast<uint32_t>(shape_.end_ids.size());
        for (size_t i = 0; i < shape_.end_ids.size(); ++i)
            header.end_ids[i] = shape_.end_ids[i];
        std::memcpy(to, &header, sizeof header);
    }

    void fill(const TensorEntry& entry, std::byte* to) {
        if (entry.packing == Packing::kTernary2Bit) {
            std::vector<int8_t> digits(entry.columns);
            for (uint32_t row = 0; row < entry.rows; ++row) {
                for (int8_t& digit : digits)
                    digit = static_cast<int8_t>(random_() % 3) - 1;
                kernels::pack_ternary_row(
                    digits.data(), entry.columns,
                    reinterpret_cast<uint8_t*>(to) + row * entry.bytes / entry.rows);
            }
            return;
        }
        std::vector<float> values(uint64_t{entry.rows} * entry.columns);
        if (entry.part == TensorPart::kRopeCosSin) {
            fill_rope(values);
        } else {
            const bool is_table = entry.rows > 1;
            const bool is_bias = entry.role == shm::TensorRole::kBias;
            const float mean = is_table || is_bias ? 0.0f : 1.0f;
            for (float& value : values)
                value = mean + (is_table ? 0.6f : 0.2f) * uniform();
        }
        if (entry.packing == Packing::kF32) {
            std::memcpy(to, values.data(), entry.bytes);
        } else {
            kernels::find("scalar")->f32_to_f16(static_cast<int64_t>(values.size()), values.data(),
                                                reinterpret_cast<uint16_t*>(to));
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
        if (entries[i].part == part && entries[i].layer == layer) return entries[i];
    }
    std::abort();
}

}  // namespace bitnetd::worker::test
