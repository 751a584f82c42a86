#include "worker/prepare/pack_weights.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/base/quote.h"
#include "common/quant/float_rows.h"
#include "worker/prepare/model_digest.h"
#include "worker/prepare/pack_blocks.h"
#include "worker/prepare/pack_screen.h"
#include "worker/prepare/pack_ternary.h"
#include "worker/prepare/rope_table.h"
#include "worker/prepare/ternary_values.h"

namespace bitnetd::worker {
namespace {

using shm::Packing;
using shm::TensorEntry;

constexpr uint64_t kValuesAtOnce = 1u << 18;

// Turns bytes done into percent of all work: the model is read twice, for the weights and for the
// digest.
class Meter {
  public:
    Meter(uint64_t total, const PercentSink& sink) : total_(total), sink_(sink) {}

    void add(uint64_t bytes) {
        done_ += bytes;
        const auto percent = static_cast<uint32_t>(std::min<uint64_t>(100, done_ * 100 / total_));
        if (percent == shown_ || !sink_) return;
        shown_ = percent;
        sink_(percent);
    }

  private:
    uint64_t total_;
    const PercentSink& sink_;
    uint64_t done_ = 0;
    uint32_t shown_ = 0;
};

class TensorPacker {
  public:
    TensorPacker(ModelInput& input, const PlannedTensor& tensor, Meter& meter)
        : input_(input), tensor_(*tensor.source), planned_(tensor), meter_(meter) {}

    // Returns the scale of the tensor: 1 unless it is ternary.
    Result<float> pack(std::byte* out) {
        const TensorEntry& entry = planned_.entry;
        switch (entry.packing) {
            case Packing::kTernary2Bit:
                return pack_digits(out);
            case Packing::kF32:
                BITNETD_TRY(pack_f32(reinterpret_cast<float*>(out)));
                break;
            case Packing::kF16:
            case Packing::kBF16:
                BITNETD_TRY(pack_halves(out));
                break;
            case Packing::kBlocks:
                BITNETD_TRY(pack_blocks(input_, planned_, out, [&](uint64_t rows) { note(rows); }));
                break;
        }
        return 1.0f;
    }

  private:
    uint64_t columns() const { return tensor_.shape.columns; }
    // A range of a fused vector counts by its values, of a matrix by its rows.
    bool is_vector() const { return tensor_.shape.rows == 1; }

    void note(uint64_t rows) { meter_.add(tensor_.bytes * rows / tensor_.shape.rows); }

    Result<float> pack_digits(std::byte* out) {
        std::unique_ptr<quant::TernaryMatrix> matrix;
        if (tensor_.ternary) {
            BITNETD_ASSIGN(matrix, input_.open_ternary(tensor_));
        } else {
            matrix = read_as_ternary(input_, tensor_);
        }
        BITNETD_ASSIGN(float scale, pack_ternary(*matrix, {planned_.first_row, planned_.entry.rows},
                                                 out, [&](uint64_t rows) { note(rows); }));
        if (planned_.scale == nullptr) return scale;
        float factor = 0;
        BITNETD_TRY(input_.read_floats(*planned_.scale, 0, 1, {&factor, 1}));
        return scale * factor;
    }

    // Calls f(first row, rows) for parts of the planned rows.
    template <typename F>
    Result<void> for_parts(F f) {
        const uint64_t rows = planned_.entry.rows;
        const uint64_t at_once = std::max<uint64_t>(1, kValuesAtOnce / columns());
        for (uint64_t row = 0; row < rows; row += at_once) {
            const uint64_t count = std::min(at_once, rows - row);
            BITNETD_TRY(f(row, count));
            note(count);
        }
        return {};
    }

    Result<void> pack_f32(float* out) {
        if (is_vector() && columns() != planned_.entry.columns) return pack_part_of_vector(out);
        return for_parts([&](uint64_t row, uint64_t count) {
            return input_.read_floats(tensor_, planned_.first_row + row, count,
                                      {out + row * columns(), count * columns()});
        });
    }

    // The bias of one part of a fused matrix.
    Result<void> pack_part_of_vector(float* out) {
        std::vector<float> all(columns());
        BITNETD_TRY(input_.read_floats(tensor_, 0, 1, all));
        std::copy_n(all.data() + planned_.first_row, planned_.entry.columns, out);
        return {};
    }

    // 16-bit floats are kept as they are; reading them as floats checks that they are finite.
    Result<void> pack_halves(std::byte* out) {
        std::vector<float> values;
        return for_parts([&](uint64_t row, uint64_t count) -> Result<void> {
            values.resize(count * columns());
            BITNETD_TRY(input_.read_floats(tensor_, planned_.first_row + row, count, values));
            const size_t row_bytes = columns() * sizeof(uint16_t);
            return input_.read_bytes(tensor_, planned_.first_row + row, count,
                                     {out + row * row_bytes, count * row_bytes});
        });
    }

    ModelInput& input_;
    const ModelTensor& tensor_;
    const PlannedTensor& planned_;
    Meter& meter_;
};

Result<void> pack_rope(const PackInput& input, const TensorEntry& entry, std::byte* out) {
    std::vector<float> factors;
    if (const ModelTensor* tensor = input.plan.rope_factors) {
        factors.resize(tensor->shape.columns);
        auto read = input.input.read_floats(*tensor, 0, 1, factors);
        if (!read) return std::move(read).error().within("tensor " + quote(tensor->name));
    }
    const bool windowed = entry.part == shm::TensorPart::kRopeCosSinWindowed;
    const RopeTable table{
        .context = entry.rows,
        .rope_dims = entry.columns,
        .base = windowed ? input.model.rope_base_windowed : input.model.rope_base,
        .factors = factors,
        .scaling = windowed ? RopeScaling{} : input.model.rope_scaling,
    };
    return fill_rope_table(table, {reinterpret_cast<float*>(out), entry.bytes / sizeof(float)});
}

shm::WeightsHeader make_header(const PackInput& input) {
    const Hyperparameters& model = input.model;
    shm::WeightsHeader header{};
    header.abi_version = shm::kWeightsAbiVersion;
    header.header_bytes = sizeof header;
    header.segment_bytes = input.plan.segment_bytes;
    const std::string_view family = model.family->names.front();
    std::copy(family.begin(), family.end(), header.family);
    header.tensor_count = static_cast<uint32_t>(input.plan.tensors.size());
    header.layers = model.layers;
    header.hidden = model.hidden;
    header.ffn = model.ffn;
    header.heads = model.heads;
    header.kv_heads = model.kv_heads;
    header.head_dim = model.head_dim;
    header.rope_dims = model.rope_dims;
    header.vocab = model.vocab;
    header.context = model.context;
    header.norm_eps = model.norm_eps;
    header.activation = model.activation;
    header.pooling = model.pooling;
    header.embedding_scale = model.embedding_scale;
    header.attention_scale = model.attention_scale;
    header.logit_soft_cap = model.logit_soft_cap;
    header.sliding_window = model.sliding_window;
    header.window_pattern = model.window_pattern;
    header.end_id_count = static_cast<uint32_t>(input.end_ids.size());
    std::copy(input.end_ids.begin(), input.end_ids.end(), header.end_ids);
    return header;
}

}  // namespace

Result<void> pack_weights(const PackInput& input, std::span<std::byte> segment,
                          const PercentSink& percent) {
    BITNETD_CHECK(segment.size() == input.plan.segment_bytes);
    BITNETD_CHECK(reinterpret_cast<uintptr_t>(segment.data()) % shm::kTensorAlignment == 0);
    BITNETD_CHECK(input.end_ids.size() <= shm::kEndIdsMax);
    Meter meter(2 * input.input.file_bytes(), percent);
    std::vector<TensorEntry> entries;
    entries.reserve(input.plan.tensors.size());
    for (const PlannedTensor& tensor : input.plan.tensors) {
        TensorEntry entry = tensor.entry;
        std::byte* out = segment.data() + entry.offset;
        if (tensor.source == nullptr) {
            BITNETD_TRY(pack_rope(input, entry, out));
        } else if (entry.role == shm::TensorRole::kScreen) {
            const TensorEntry& errors = (&tensor + 1)->entry;  // its errors are planned behind it
            BITNETD_CHECK(errors.role == shm::TensorRole::kScreenErrors);
            BITNETD_TRY(pack_screen(input.input, *tensor.source, out,
                                    {reinterpret_cast<float*>(segment.data() + errors.offset),
                                     errors.bytes / sizeof(float)}));
        } else if (entry.role != shm::TensorRole::kScreenErrors) {
            auto scale = TensorPacker(input.input, tensor, meter).pack(out);
            if (!scale)
                return std::move(scale).error().within("tensor " + quote(tensor.source->name));
            entry.scale = *scale;
        }
        entries.push_back(entry);
    }
    std::memcpy(segment.data() + sizeof(shm::WeightsHeader), entries.data(),
                entries.size() * sizeof(TensorEntry));
    shm::WeightsHeader header = make_header(input);
    BITNETD_TRY(
        digest_model(input.input, header.digest, [&](uint64_t bytes) { meter.add(bytes); }));
    header.magic = shm::kWeightsMagic;
    std::memcpy(segment.data(), &header, sizeof header);
    return {};
}

}  // namespace bitnetd::worker
