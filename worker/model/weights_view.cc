#include "worker/model/weights_view.h"

#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "common/base/bytes.h"
#include "worker/kernels/kernel_api.h"

namespace bitnetd::worker {
namespace {

using shm::Packing;
using shm::TensorEntry;
using shm::TensorPart;
using shm::WeightsHeader;

constexpr uint32_t kInputsMax = 1u << 17;  // of a ternary product: kernel_api.h
constexpr uint32_t kVocabMax = 1u << 24;
constexpr uint32_t kContextMax = 1u << 20;

Result<void> check(bool holds, const char* expected) {
    if (!holds) return invalid(std::string("weights header: expected ") + expected);
    return {};
}

Result<void> check_header(const WeightsHeader& header, uint64_t segment_bytes) {
    BITNETD_TRY(check(header.magic == shm::kWeightsMagic, "the magic number of weights"));
    BITNETD_TRY(check(header.abi_version == shm::kWeightsAbiVersion, "this build's weights ABI"));
    BITNETD_TRY(check(header.header_bytes == sizeof(WeightsHeader), "this build's header size"));
    BITNETD_TRY(check(header.segment_bytes <= segment_bytes, "a segment as large as stated"));
    BITNETD_TRY(check(header.architecture == shm::Architecture::kBitnetB158, "bitnet-b1.58"));
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
    BITNETD_TRY(check(std::isfinite(header.norm_eps) && header.norm_eps > 0, "a positive eps"));
    BITNETD_TRY(check(header.end_id_count <= shm::kEndIdsMax, "at most 32 end ids"));
    for (uint32_t i = 0; i < header.end_id_count; ++i) {
        BITNETD_TRY(check(header.end_ids[i] < header.vocab, "end ids within the vocabulary"));
    }
    return check(header.tensor_count <= 16384, "at most 16384 tensors");
}

uint64_t packed_bytes(Packing packing, uint32_t rows, uint32_t columns) {
    switch (packing) {
        case Packing::kF32:
            return uint64_t{rows} * columns * sizeof(float);
        case Packing::kF16:
            return uint64_t{rows} * columns * sizeof(uint16_t);
        case Packing::kTernary2Bit:
            return rows * static_cast<uint64_t>(kernels::ternary_row_bytes(columns));
    }
    return UINT64_MAX;
}

class Opener {
  public:
    explicit Opener(std::span<const std::byte> segment) : segment_(segment) {}

    Result<WeightsView> open() {
        if (segment_.size() < sizeof(WeightsHeader))
            return invalid("weights: no room for a header");
        header_ = load<WeightsHeader>(segment_.data());
        BITNETD_TRY(check_header(header_, segment_.size()));
        BITNETD_TRY(read_directory());
        WeightsView view;
        view.header = header_;
        BITNETD_ASSIGN(view.embedding, table(TensorPart::kTokenEmbedding));
        view.output = view.embedding;
        if (find(TensorPart::kOutput, shm::kNoLayer) != nullptr) {
            BITNETD_ASSIGN(view.output, table(TensorPart::kOutput));
        }
        BITNETD_ASSIGN(view.output_norm, vector(TensorPart::kOutputNorm, shm::kNoLayer, hidden()));
        BITNETD_ASSIGN(view.rope, rope());
        for (uint32_t i = 0; i < header_.layers; ++i) {
            BITNETD_ASSIGN(LayerWeights layer_weights, layer(i));
            view.layers.push_back(layer_weights);
        }
        return view;
    }

  private:
    uint32_t hidden() const { return header_.hidden; }
    uint32_t query() const { return header_.heads * header_.head_dim; }
    uint32_t kv() const { return header_.kv_heads * header_.head_dim; }

    Result<void> read_directory() {
        const uint64_t end =
            sizeof(WeightsHeader) + uint64_t{header_.tensor_count} * sizeof(TensorEntry);
        if (end > segment_.size()) return invalid("weights: the tensor directory is cut off");
        for (uint32_t i = 0; i < header_.tensor_count; ++i) {
            const auto entry = load<TensorEntry>(segment_.data() + sizeof(WeightsHeader) +
                                                 i * sizeof(TensorEntry));
            if (!entries_.emplace(std::pair(entry.part, entry.layer), entry).second) {
                return invalid("weights: two tensors for one part");
            }
        }
        return {};
    }

    const TensorEntry* find(TensorPart part, uint32_t layer) const {
        const auto at = entries_.find(std::pair(part, layer));
        return at == entries_.end() ? nullptr : &at->second;
    }

    // The bytes of a tensor that is as predicted.
    Result<const std::byte*> data(const TensorEntry& entry, uint32_t rows, uint32_t columns) const {
        const bool as_predicted = entry.rows == rows && entry.columns == columns &&
                                  entry.bytes == packed_bytes(entry.packing, rows, columns);
        const bool inside = entry.offset <= segment_.size() &&
                            entry.bytes <= segment_.size() - entry.offset &&
                            entry.offset % shm::kTensorAlignment == 0;
        if (as_predicted && inside) return segment_.data() + entry.offset;
        return invalid("weights: part " + std::to_string(static_cast<uint32_t>(entry.part)) +
                       " of layer " + std::to_string(entry.layer) +
                       (as_predicted ? " lies outside the segment" : " has another shape"));
    }

    Result<const TensorEntry*> require(TensorPart part, uint32_t layer) const {
        if (const TensorEntry* entry = find(part, layer)) return entry;
        return invalid("weights: part " + std::to_string(static_cast<uint32_t>(part)) +
                       " of layer " + std::to_string(layer) + " is missing");
    }

    Result<const float*> vector(TensorPart part, uint32_t layer, uint32_t columns) const {
        BITNETD_ASSIGN(const TensorEntry* entry, require(part, layer));
        if (entry->packing != Packing::kF32) return invalid("weights: a vector that is not f32");
        BITNETD_ASSIGN(const std::byte* bytes, data(*entry, 1, columns));
        return reinterpret_cast<const float*>(bytes);
    }

    Result<const float*> optional_vector(TensorPart part, uint32_t layer, uint32_t columns) const {
        if (find(part, layer) == nullptr) return static_cast<const float*>(nullptr);
        return vector(part, layer, columns);
    }

    Result<TokenTable> table(TensorPart part) const {
        BITNETD_ASSIGN(const TensorEntry* entry, require(part, shm::kNoLayer));
        if (entry->packing == Packing::kTernary2Bit) return invalid("weights: a ternary embedding");
        BITNETD_ASSIGN(const std::byte* bytes, data(*entry, header_.vocab, hidden()));
        return TokenTable{bytes, entry->packing};
    }

    Result<const float*> rope() const {
        BITNETD_ASSIGN(const TensorEntry* entry, require(TensorPart::kRopeCosSin, shm::kNoLayer));
        if (entry->packing != Packing::kF32) return invalid("weights: a rotary table not in f32");
        BITNETD_ASSIGN(const std::byte* bytes, data(*entry, header_.context, header_.rope_dims));
        return reinterpret_cast<const float*>(bytes);
    }

    Result<TernaryMatrix> ternary(TensorPart part, uint32_t layer, uint32_t rows,
                                  uint32_t columns) const {
        BITNETD_ASSIGN(const TensorEntry* entry, require(part, layer));
        if (entry->packing != Packing::kTernary2Bit || !std::isfinite(entry->scale)) {
            return invalid("weights: a linear layer that is not ternary");
        }
        BITNETD_ASSIGN(const std::byte* bytes, data(*entry, rows, columns));
        return TernaryMatrix{.rows = reinterpret_cast<const uint8_t*>(bytes),
                             .row_bytes = kernels::ternary_row_bytes(columns),
                             .outputs = static_cast<int32_t>(rows),
                             .inputs = static_cast<int32_t>(columns),
                             .scale = entry->scale};
    }

    Result<LayerWeights> layer(uint32_t i) const {
        LayerWeights w;
        BITNETD_ASSIGN(w.attn_norm, vector(TensorPart::kAttnNorm, i, hidden()));
        BITNETD_ASSIGN(w.q, ternary(TensorPart::kAttnQ, i, query(), hidden()));
        BITNETD_ASSIGN(w.q.bias, optional_vector(TensorPart::kAttnQBias, i, query()));
        BITNETD_ASSIGN(w.k, ternary(TensorPart::kAttnK, i, kv(), hidden()));
        BITNETD_ASSIGN(w.k.bias, optional_vector(TensorPart::kAttnKBias, i, kv()));
        BITNETD_ASSIGN(w.v, ternary(TensorPart::kAttnV, i, kv(), hidden()));
        BITNETD_ASSIGN(w.v.bias, optional_vector(TensorPart::kAttnVBias, i, kv()));
        BITNETD_ASSIGN(w.attn_sub_norm, vector(TensorPart::kAttnSubNorm, i, query()));
        BITNETD_ASSIGN(w.attn_output, ternary(TensorPart::kAttnOutput, i, hidden(), query()));
        BITNETD_ASSIGN(w.attn_output.bias,
                       optional_vector(TensorPart::kAttnOutputBias, i, hidden()));
        BITNETD_ASSIGN(w.ffn_norm, vector(TensorPart::kFfnNorm, i, hidden()));
        BITNETD_ASSIGN(w.gate, ternary(TensorPart::kFfnGate, i, header_.ffn, hidden()));
        BITNETD_ASSIGN(w.up, ternary(TensorPart::kFfnUp, i, header_.ffn, hidden()));
        BITNETD_ASSIGN(w.ffn_sub_norm, vector(TensorPart::kFfnSubNorm, i, header_.ffn));
        BITNETD_ASSIGN(w.down, ternary(TensorPart::kFfnDown, i, hidden(), header_.ffn));
        return w;
    }

    std::span<const std::byte> segment_;
    WeightsHeader header_{};
    std::map<std::pair<TensorPart, uint32_t>, TensorEntry> entries_;
};

}  // namespace

Result<WeightsView> open_weights(std::span<const std::byte> segment) {
    return Opener(segment).open();
}

}  // namespace bitnetd::worker
