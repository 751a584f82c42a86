#include "worker/prepare/pack_weights.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/base/quote.h"
#include "worker/prepare/model_digest.h"
#include "worker/prepare/pack_tensor.h"
#include "worker/prepare/pack_ternary.h"
#include "worker/prepare/rope_table.h"
#include "worker/topology/parallel_for.h"

namespace bitnetd::worker {
namespace {

using shm::TensorEntry;
using shm::TensorRole;

// Stored bytes of one piece of a tensor: long enough to read from a disk, short enough that threads
// finish together.
constexpr uint64_t kPieceBytes = 2u << 20;
// What a byte costs, for the progress: one to hash, one of a tensor, one of a matrix with a screen,
// one of a rotary table.
constexpr uint64_t kDigestCost = 1;
constexpr uint64_t kTensorCost = 2;
constexpr uint64_t kScreenCost = 4;
constexpr uint64_t kRopeCost = 20;

// Rows of one planned tensor, for one thread.
struct Piece {
    size_t tensor;
    RowRange rows;
    uint64_t cost;
    float scale = 1;  // of these rows, once packed
};

Result<void> pack_rope(const PackInput& input, const TensorEntry& entry, RowRange rows,
                       std::byte* out) {
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
    auto* const row = reinterpret_cast<float*>(out) + rows.first * entry.columns;
    return fill_rope_table(table, static_cast<uint32_t>(rows.first),
                           {row, rows.count * entry.columns});
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

class Packer {
  public:
    Packer(const PackInput& input, std::span<std::byte> segment) : in_(input), segment_(segment) {}

    Result<void> divide() {
        for (size_t i = 0; i < in_.plan.tensors.size(); ++i) {
            auto added = add_pieces(i);
            if (!added) return std::move(added).error().within(name_of(i));
        }
        return {};
    }

    Result<void> run(ThreadPool* pool, const PercentSink& percent) {
        uint64_t cost = kDigestCost * in_.input.file_bytes();
        for (const Piece& piece : pieces_)
            cost += piece.cost;
        ProgressMeter meter(cost, percent);
        // The digest begins first: it reads all files in order, which cannot be divided.
        return parallel_for(pool, pieces_.size() + 1, [&](size_t index) {
            return index == 0 ? digest(meter) : work_on(pieces_[index - 1], meter);
        });
    }

    // Once all pieces are done.
    Result<void> write_head() {
        BITNETD_ASSIGN(const std::vector<float> scales, scales_of_tensors());
        std::byte* out = segment_.data() + sizeof(shm::WeightsHeader);
        for (size_t i = 0; i < scales.size(); ++i, out += sizeof(TensorEntry)) {
            TensorEntry entry = in_.plan.tensors[i].entry;
            entry.scale = scales[i];
            std::memcpy(out, &entry, sizeof entry);
        }
        shm::WeightsHeader header = make_header(in_);
        std::copy(std::begin(digest_), std::end(digest_), header.digest);
        header.magic = shm::kWeightsMagic;
        std::memcpy(segment_.data(), &header, sizeof header);
        return {};
    }

  private:
    std::string name_of(size_t tensor) const {
        const ModelTensor* const source = in_.plan.tensors[tensor].source;
        return source == nullptr ? "rotary table" : "tensor " + quote(source->name);
    }
    std::byte* bytes_of(const TensorEntry& entry) { return segment_.data() + entry.offset; }

    Result<void> add_pieces(size_t index) {
        const PlannedTensor& tensor = in_.plan.tensors[index];
        const TensorEntry& entry = tensor.entry;
        if (tensor.source == nullptr) {
            add_rows(index, 1, entry.bytes, kRopeCost);
            return {};
        }
        if (entry.role == TensorRole::kScreen || entry.role == TensorRole::kScreenErrors) return {};
        BITNETD_ASSIGN(const uint64_t step, rows_to_cut_at(in_.input, tensor));
        const uint64_t stored = tensor.source->bytes / tensor.source->shape.rows * entry.rows;
        add_rows(index, step, stored, screen_of(tensor) ? kScreenCost : kTensorCost);
        return {};
    }

    // Pieces of about kPieceBytes, cut at multiples of `step` rows.
    void add_rows(size_t index, uint64_t step, uint64_t bytes, uint64_t cost) {
        const uint64_t rows = in_.plan.tensors[index].entry.rows;
        const uint64_t row_bytes = std::max<uint64_t>(1, bytes / rows);
        const uint64_t at_once = std::max<uint64_t>(1, kPieceBytes / row_bytes / step) * step;
        for (uint64_t row = 0; row < rows; row += at_once) {
            const uint64_t count = std::min(at_once, rows - row);
            pieces_.push_back({index, {row, count}, cost * row_bytes * count});
        }
    }

    // The screen is planned with the matrix's source, its errors behind it.
    std::optional<ScreenMemory> screen_of(const PlannedTensor& matrix) {
        for (size_t i = 0; i < in_.plan.tensors.size(); ++i) {
            const PlannedTensor& screen = in_.plan.tensors[i];
            if (screen.entry.role != TensorRole::kScreen || screen.source != matrix.source)
                continue;
            const TensorEntry& errors = in_.plan.tensors.at(i + 1).entry;
            BITNETD_CHECK(errors.role == TensorRole::kScreenErrors);
            return ScreenMemory{
                bytes_of(screen.entry),
                {reinterpret_cast<float*>(bytes_of(errors)), errors.bytes / sizeof(float)}};
        }
        return std::nullopt;
    }

    Result<void> work_on(Piece& piece, ProgressMeter& meter) {
        auto scale = pack(piece);
        if (!scale) return std::move(scale).error().within(name_of(piece.tensor));
        piece.scale = *scale;
        meter.add(piece.cost);
        return {};
    }

    Result<float> pack(const Piece& piece) {
        const PlannedTensor& tensor = in_.plan.tensors[piece.tensor];
        std::byte* const out = bytes_of(tensor.entry);
        if (tensor.source == nullptr) {
            BITNETD_TRY(pack_rope(in_, tensor.entry, piece.rows, out));
            return 1.0f;
        }
        const auto screen = screen_of(tensor);
        return pack_rows(in_.input, tensor, piece.rows, {out, screen ? &*screen : nullptr});
    }

    Result<void> digest(ProgressMeter& meter) {
        return digest_model(in_.input, digest_,
                            [&](uint64_t bytes) { meter.add(kDigestCost * bytes); });
    }

    // As the directory has them: 1 for what is not ternary.
    Result<std::vector<float>> scales_of_tensors() const {
        std::vector<OneMagnitude> magnitudes(in_.plan.tensors.size());
        for (const Piece& piece : pieces_) {
            auto taken = magnitudes[piece.tensor].take(piece.scale);
            if (taken.ok()) continue;
            return std::move(taken)
                .error()
                .within("row " + std::to_string(piece.rows.first))
                .within(name_of(piece.tensor));
        }
        std::vector<float> scales(magnitudes.size(), 1.0f);
        for (size_t i = 0; i < scales.size(); ++i) {
            const PlannedTensor& tensor = in_.plan.tensors[i];
            if (tensor.entry.packing != shm::Packing::kTernary2Bit) continue;
            float factor = 1;
            if (tensor.scale != nullptr)
                BITNETD_TRY(in_.input.read_floats(*tensor.scale, 0, 1, {&factor, 1}));
            scales[i] = magnitudes[i].value() * factor;
        }
        return scales;
    }

    const PackInput& in_;
    const std::span<std::byte> segment_;
    std::vector<Piece> pieces_;  // in order of the plan's tensors and their rows
    uint8_t digest_[16] = {};
};

}  // namespace

Result<void> pack_weights(const PackInput& input, std::span<std::byte> segment, ThreadPool* pool,
                          const PercentSink& percent) {
    BITNETD_CHECK(segment.size() == input.plan.segment_bytes);
    BITNETD_CHECK(reinterpret_cast<uintptr_t>(segment.data()) % shm::kTensorAlignment == 0);
    BITNETD_CHECK(input.end_ids.size() <= shm::kEndIdsMax);
    Packer packer(input, segment);
    BITNETD_TRY(packer.divide());
    BITNETD_TRY(packer.run(pool, percent));
    return packer.write_head();
}

}  // namespace bitnetd::worker
