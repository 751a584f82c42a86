#include "worker/model/weights_view.h"

#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "common/base/bytes.h"
#include "worker/kernels/kernel_api.h"

namespace bitnetd::worker {
namespace {

using shm::Packing;
using shm::TensorEntry;
using shm::TensorPart;
using shm::TensorRole;
using shm::WeightsHeader;

constexpr uint32_t kInputsMax = 1u << 17;  // of a ternary product: kernel_api.h
constexpr uint32_t kVocabMax = 1u << 24;
constexpr uint32_t kContextMax = 1u << 20;

Result<void> check(bool holds, const char* expected) {
    if (!holds) return invalid(std::string("weights header: expected ") + expected);
    return {};
}

bool is_finite_positive(float value) {
    return std::isfinite(value) && value > 0;
}

Result<void> check_choices(const WeightsHeader& header) {
    using shm::Activation;
    const Activation activation = header.activation;
    BITNETD_TRY(check(activation == Activation::kRelu2 || activation == Activation::kSilu ||
                          activation == Activation::kGelu,
                      "a known activation"));
    BITNETD_TRY(check(shm::is_known(header.pooling), "a known pooling"));
    BITNETD_TRY(check(is_finite_positive(header.norm_eps), "a positive eps"));
    BITNETD_TRY(check(is_finite_positive(header.embedding_scale), "a positive embedding scale"));
    BITNETD_TRY(check(is_finite_positive(header.attention_scale), "a positive attention scale"));
    BITNETD_TRY(check(header.logit_soft_cap == 0 || is_finite_positive(header.logit_soft_cap),
                      "a soft cap that is not negative"));
    return check(header.sliding_window == 0 || header.window_pattern >= 1,
                 "a pattern of layers with a window");
}

Result<void> check_header(const WeightsHeader& header, uint64_t segment_bytes) {
    BITNETD_TRY(check(header.magic == shm::kWeightsMagic, "the magic number of weights"));
    BITNETD_TRY(check(header.abi_version == shm::kWeightsAbiVersion, "this build's weights ABI"));
    BITNETD_TRY(check(header.header_bytes == sizeof(WeightsHeader), "this build's header size"));
    BITNETD_TRY(check(header.segment_bytes <= segment_bytes, "a segment as large as stated"));
    BITNETD_TRY(check(header.layers >= 1 && header.layers <= 512, "1 to 512 layers"));
    BITNETD_TRY(check(header.hidden >= 1 && header.hidden <= 65536, "hidden size to 65536"));
    BITNETD_TRY(check(header.ffn >= 1 && header.ffn <= kInputsMax, "ffn size to 131072"));
    BITNETD_TRY(
        check(header.head_dim >= 1 && header.head_dim <= kernels::kHeadDimMax, "head size to 512"));
    BITNETD_TRY(check(header.heads >= 1 && header.heads <= kInputsMax / header.head_dim,
                      "heads of 131072 values together"));
    BITNETD_TRY(check(header.kv_heads >= 1 && header.heads % header.kv_heads == 0,
                      "heads a multiple of kv_heads"));
    BITNETD_TRY(check(header.rope_dims % 2 == 0 && header.rope_dims <= header.head_dim,
                      "an even rope size within the head"));
    BITNETD_TRY(check(header.vocab >= 1 && header.vocab <= kVocabMax, "a vocabulary to 2^24"));
    BITNETD_TRY(check(header.context >= 1 && header.context <= kContextMax, "context to 2^20"));
    BITNETD_TRY(check_choices(header));
    BITNETD_TRY(check(header.end_id_count <= shm::kEndIdsMax, "at most 32 end ids"));
    for (uint32_t i = 0; i < header.end_id_count; ++i) {
        BITNETD_TRY(check(header.end_ids[i] < header.vocab, "end ids within the vocabulary"));
    }
    return check(header.tensor_count <= 65536, "at most 65536 tensors");
}

const float** norm_of(LayerWeights& w, TensorPart part) {
    switch (part) {
        case TensorPart::kAttnNorm:
            return &w.attn_norm;
        case TensorPart::kAttnQNorm:
            return &w.q_norm;
        case TensorPart::kAttnKNorm:
            return &w.k_norm;
        case TensorPart::kAttnSubNorm:
            return &w.attn_sub_norm;
        case TensorPart::kPostAttnNorm:
            return &w.post_attn_norm;
        case TensorPart::kFfnNorm:
            return &w.ffn_norm;
        case TensorPart::kFfnSubNorm:
            return &w.ffn_sub_norm;
        case TensorPart::kPostFfnNorm:
            return &w.post_ffn_norm;
        default:
            return nullptr;
    }
}

Linear LayerWeights::*linear_member(TensorPart part) {
    switch (part) {
        case TensorPart::kAttnQ:
            return &LayerWeights::q;
        case TensorPart::kAttnK:
            return &LayerWeights::k;
        case TensorPart::kAttnV:
            return &LayerWeights::v;
        case TensorPart::kAttnOutput:
            return &LayerWeights::attn_output;
        case TensorPart::kFfnGate:
            return &LayerWeights::gate;
        case TensorPart::kFfnUp:
            return &LayerWeights::up;
        case TensorPart::kFfnDown:
            return &LayerWeights::down;
        default:
            return nullptr;
    }
}

class Opener {
  public:
    Opener(std::span<const std::byte> segment, BlockInputs block_inputs, Bf16Inputs bf16_inputs)
        : segment_(segment), block_inputs_(block_inputs), bf16_inputs_(bf16_inputs) {}

    Result<WeightsView> open() {
        if (segment_.size() < sizeof(WeightsHeader))
            return invalid("weights: no room for a header");
        header_ = load<WeightsHeader>(segment_.data());
        BITNETD_TRY(check_header(header_, segment_.size()));
        sizes_ = {header_.hidden,   header_.ffn,      header_.heads,
                  header_.kv_heads, header_.head_dim, header_.vocab};
        WeightsView view;
        view.header = header_;
        view.family = find_family(
            std::string_view(header_.family, strnlen(header_.family, sizeof header_.family)));
        if (view.family == nullptr) return invalid("weights: of a family that is not known");
        BITNETD_TRY(read_directory());
        BITNETD_TRY(open_outside(view));
        BITNETD_ASSIGN(const float* rope, rope_table(TensorPart::kRopeCosSin));
        const float* windowed_rope = rope;
        if (find({TensorPart::kRopeCosSinWindowed, TensorRole::kWeight, shm::kNoLayer})) {
            BITNETD_ASSIGN(windowed_rope, rope_table(TensorPart::kRopeCosSinWindowed));
        }
        for (uint32_t i = 0; i < header_.layers; ++i) {
            BITNETD_ASSIGN(LayerWeights w, layer(i, *view.family));
            w.rope = w.windowed ? windowed_rope : rope;
            view.layers.push_back(w);
        }
        view.has_input_norms = has_input_norms_;
        view.rounds_to_bf16 = rounds_to_bf16_;
        return view;
    }

  private:
    using Key = std::tuple<TensorPart, TensorRole, uint32_t>;

    Result<void> read_directory() {
        const uint64_t end =
            sizeof(WeightsHeader) + uint64_t{header_.tensor_count} * sizeof(TensorEntry);
        if (end > segment_.size()) return invalid("weights: the tensor directory is cut off");
        for (uint32_t i = 0; i < header_.tensor_count; ++i) {
            const auto entry = load<TensorEntry>(segment_.data() + sizeof(WeightsHeader) +
                                                 i * sizeof(TensorEntry));
            if (!entries_.emplace(Key(entry.part, entry.role, entry.layer), entry).second) {
                return invalid("weights: two tensors for one part");
            }
        }
        return {};
    }

    const TensorEntry* find(const Key& key) const {
        const auto at = entries_.find(key);
        return at == entries_.end() ? nullptr : &at->second;
    }

    static std::string name_of(const Key& key) {
        return "weights: part " + std::to_string(static_cast<uint32_t>(std::get<0>(key))) +
               " of layer " + std::to_string(std::get<2>(key));
    }

    Result<const TensorEntry*> require(const Key& key) const {
        if (const TensorEntry* entry = find(key)) return entry;
        return invalid(name_of(key) + " is missing");
    }

    // The bytes of a tensor that is as predicted.
    Result<const std::byte*> data(const Key& key, const TensorEntry& entry, uint32_t rows,
                                  uint32_t columns) const {
        const bool as_predicted =
            entry.rows == rows && entry.columns == columns &&
            entry.bytes == packed_bytes(entry.packing, entry.block_format, rows, columns);
        const bool inside = entry.offset <= segment_.size() &&
                            entry.bytes <= segment_.size() - entry.offset &&
                            entry.offset % shm::kTensorAlignment == 0;
        if (as_predicted && inside) return segment_.data() + entry.offset;
        return invalid(name_of(key) +
                       (as_predicted ? " lies outside the segment" : " has another shape"));
    }

    Result<const float*> floats(const Key& key, uint32_t rows, uint32_t columns) const {
        BITNETD_ASSIGN(const TensorEntry* entry, require(key));
        if (entry->packing != Packing::kF32) return invalid(name_of(key) + " is not in f32");
        BITNETD_ASSIGN(const std::byte* bytes, data(key, *entry, rows, columns));
        return reinterpret_cast<const float*>(bytes);
    }

    Result<const float*> optional_floats(const Key& key, uint32_t columns) const {
        if (find(key) == nullptr) return static_cast<const float*>(nullptr);
        return floats(key, 1, columns);
    }

    Result<const float*> rope_table(TensorPart part) const {
        return floats({part, TensorRole::kWeight, shm::kNoLayer}, header_.context,
                      header_.rope_dims);
    }

    Result<Linear> matrix(const Key& key, uint32_t rows, uint32_t columns) const {
        BITNETD_ASSIGN(const TensorEntry* entry, require(key));
        if (!std::isfinite(entry->scale)) return invalid(name_of(key) + " has no finite scale");
        BITNETD_ASSIGN(const std::byte* bytes, data(key, *entry, rows, columns));
        return Linear{.weights = bytes,
                      .packing = entry->packing,
                      .block_format = static_cast<kernels::BlockFormat>(entry->block_format),
                      .outputs = static_cast<int32_t>(rows),
                      .inputs = static_cast<int32_t>(columns),
                      .rounds_input = false,
                      .scale = entry->scale,
                      .bias = nullptr,
                      .input_norm = nullptr};
    }

    Result<Linear> linear(TensorPart part, uint32_t i, uint32_t rows, uint32_t columns) {
        BITNETD_ASSIGN(Linear w, matrix({part, TensorRole::kWeight, i}, rows, columns));
        w.rounds_input = w.packing == Packing::kTernary2Bit ||
                         (w.packing == Packing::kBlocks && block_inputs_ == BlockInputs::kInt8) ||
                         (w.packing == Packing::kBF16 && bf16_inputs_ == Bf16Inputs::kBf16);
        rounds_to_bf16_ = rounds_to_bf16_ || (w.packing == Packing::kBF16 && w.rounds_input);
        BITNETD_ASSIGN(w.bias, optional_floats({part, TensorRole::kBias, i}, rows));
        BITNETD_ASSIGN(w.input_norm, optional_floats({part, TensorRole::kInputNorm, i}, columns));
        has_input_norms_ = has_input_norms_ || w.input_norm != nullptr;
        return w;
    }

    Result<Linear> table(TensorPart part) const {
        const Key key{part, TensorRole::kWeight, shm::kNoLayer};
        BITNETD_ASSIGN(const Linear w, matrix(key, header_.vocab, header_.hidden));
        if (w.packing == Packing::kTernary2Bit) return invalid(name_of(key) + " is ternary");
        return w;
    }

    Result<ScreenWeights> screen() const {
        const Key codes{TensorPart::kOutput, TensorRole::kScreen, shm::kNoLayer};
        ScreenWeights out;
        if (find(codes) == nullptr) return out;
        BITNETD_ASSIGN(out.codes, matrix(codes, header_.vocab, header_.hidden));
        if (out.codes.packing != Packing::kBlocks)
            return invalid(name_of(codes) + " has no blocks");
        BITNETD_ASSIGN(out.errors,
                       floats({TensorPart::kOutput, TensorRole::kScreenErrors, shm::kNoLayer},
                              header_.vocab, 2));
        return out;
    }

    Result<void> open_outside(WeightsView& view) const {
        BITNETD_ASSIGN(view.embedding, table(TensorPart::kTokenEmbedding));
        view.output = view.embedding;
        if (find({TensorPart::kOutput, TensorRole::kWeight, shm::kNoLayer}) != nullptr) {
            BITNETD_ASSIGN(view.output, table(TensorPart::kOutput));
        }
        BITNETD_ASSIGN(view.screen, screen());
        BITNETD_ASSIGN(view.output_norm,
                       floats({TensorPart::kOutputNorm, TensorRole::kWeight, shm::kNoLayer}, 1,
                              header_.hidden));
        return {};
    }

    Result<LayerWeights> layer(uint32_t i, const Family& family) {
        LayerWeights w;
        w.index = i;
        w.windowed =
            header_.sliding_window > 0 && i % header_.window_pattern != header_.window_pattern - 1;
        for (const TensorSpec& spec : family.layer_tensors) {
            const uint32_t rows = sizes_.of(spec.rows);
            const uint32_t columns = sizes_.of(spec.columns);
            if (spec.kind == TensorKind::kLinear) {
                BITNETD_ASSIGN(w.*linear_member(spec.part), linear(spec.part, i, rows, columns));
            } else {
                BITNETD_ASSIGN(*norm_of(w, spec.part),
                               floats({spec.part, TensorRole::kWeight, i}, rows, columns));
            }
        }
        return w;
    }

    std::span<const std::byte> segment_;
    const BlockInputs block_inputs_;
    const Bf16Inputs bf16_inputs_;
    WeightsHeader header_{};
    ModelSizes sizes_{};
    std::map<Key, TensorEntry> entries_;
    bool has_input_norms_ = false;
    bool rounds_to_bf16_ = false;
};

}  // namespace

std::optional<uint64_t> packed_bytes(Packing packing, uint32_t block_format, uint32_t rows,
                                     uint32_t columns) {
    switch (packing) {
        case Packing::kF32:
            return uint64_t{rows} * columns * sizeof(float);
        case Packing::kF16:
        case Packing::kBF16:
            return uint64_t{rows} * columns * sizeof(uint16_t);
        case Packing::kTernary2Bit:
            return rows * static_cast<uint64_t>(kernels::ternary_row_bytes(columns));
        case Packing::kBlocks: {
            if (block_format >= kernels::kBlockFormats) return std::nullopt;
            const auto format = static_cast<kernels::BlockFormat>(block_format);
            const auto unit = static_cast<uint32_t>(kernels::layout_of(format).unit);
            if (columns % unit != 0) return std::nullopt;
            return static_cast<uint64_t>(kernels::block_matrix_bytes(format, rows, columns));
        }
    }
    return std::nullopt;
}

const Linear* linear_of(const LayerWeights& w, TensorPart part) {
    const auto member = linear_member(part);
    return member == nullptr ? nullptr : &(w.*member);
}

Result<WeightsView> open_weights(std::span<const std::byte> segment, BlockInputs block_inputs,
                                 Bf16Inputs bf16_inputs) {
    return Opener(segment, block_inputs, bf16_inputs).open();
}

Result<void> check_table(const WeightsView& weights, const kernels::KernelTable& table) {
    if (!weights.rounds_to_bf16 || table.matmul_bf16_dot != nullptr) return {};
    return unsupported(std::string("worker.bf16_inputs is bf16, which the kernel table ") +
                       table.name + " cannot compute; set it to float, or choose a table with " +
                       "bfloat16 products (avx512bf16, amx) on a CPU that has them");
}

}  // namespace bitnetd::worker
