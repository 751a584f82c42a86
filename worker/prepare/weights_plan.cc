#include "worker/prepare/weights_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/quote.h"
#include "common/log/log.h"
#include "worker/kernels/kernel_api.h"

namespace bitnetd::worker {
namespace {

using shm::Packing;
using shm::TensorPart;

enum class Kind { kTernary, kTable, kVector };  // table: embedding and output matrix
enum class Size { kOne, kHidden, kQuery, kKv, kFfn, kVocab };
enum class Need { kRequired, kOptional };

struct Expected {
    std::string_view name;  // behind "blk.<i>." for parts of a layer
    TensorPart part;
    Kind kind;
    Size rows;
    Size columns;
    Need need;
};

constexpr Expected kOutside[] = {
    {"token_embd.weight", TensorPart::kTokenEmbedding, Kind::kTable, Size::kVocab, Size::kHidden,
     Need::kRequired},
    {"output_norm.weight", TensorPart::kOutputNorm, Kind::kVector, Size::kOne, Size::kHidden,
     Need::kRequired},
};
// Absent: the logits come from the embedding.
constexpr Expected kOutput = {"output.weight", TensorPart::kOutput, Kind::kTable,
                              Size::kVocab,    Size::kHidden,       Need::kOptional};

constexpr Expected vector_part(std::string_view name, TensorPart part, Size columns,
                               Need need = Need::kRequired) {
    return {name, part, Kind::kVector, Size::kOne, columns, need};
}
constexpr Expected ternary_part(std::string_view name, TensorPart part, Size rows, Size columns) {
    return {name, part, Kind::kTernary, rows, columns, Need::kRequired};
}

constexpr Expected kInLayer[] = {
    vector_part("attn_norm.weight", TensorPart::kAttnNorm, Size::kHidden),
    ternary_part("attn_q.weight", TensorPart::kAttnQ, Size::kQuery, Size::kHidden),
    ternary_part("attn_k.weight", TensorPart::kAttnK, Size::kKv, Size::kHidden),
    ternary_part("attn_v.weight", TensorPart::kAttnV, Size::kKv, Size::kHidden),
    vector_part("attn_sub_norm.weight", TensorPart::kAttnSubNorm, Size::kQuery),
    ternary_part("attn_output.weight", TensorPart::kAttnOutput, Size::kHidden, Size::kQuery),
    vector_part("ffn_norm.weight", TensorPart::kFfnNorm, Size::kHidden),
    ternary_part("ffn_gate.weight", TensorPart::kFfnGate, Size::kFfn, Size::kHidden),
    ternary_part("ffn_up.weight", TensorPart::kFfnUp, Size::kFfn, Size::kHidden),
    vector_part("ffn_sub_norm.weight", TensorPart::kFfnSubNorm, Size::kFfn),
    ternary_part("ffn_down.weight", TensorPart::kFfnDown, Size::kHidden, Size::kFfn),
    vector_part("attn_q.bias", TensorPart::kAttnQBias, Size::kQuery, Need::kOptional),
    vector_part("attn_k.bias", TensorPart::kAttnKBias, Size::kKv, Need::kOptional),
    vector_part("attn_v.bias", TensorPart::kAttnVBias, Size::kKv, Need::kOptional),
    vector_part("attn_output.bias", TensorPart::kAttnOutputBias, Size::kHidden, Need::kOptional),
};

uint32_t size_of(Size size, const Hyperparameters& model) {
    switch (size) {
        case Size::kOne:
            return 1;
        case Size::kHidden:
            return model.hidden;
        case Size::kQuery:
            return model.query_size();
        case Size::kKv:
            return model.kv_size();
        case Size::kFfn:
            return model.ffn;
        case Size::kVocab:
            return model.vocab;
    }
    return 0;
}

Result<void> check_shape(const gguf::TensorInfo& tensor, uint64_t rows, uint64_t columns) {
    if (tensor.dims[0] == columns && tensor.dims[1] == rows && tensor.dims[2] == 1 &&
        tensor.dims[3] == 1) {
        return {};
    }
    return invalid("tensor " + quote(tensor.name) + " is [" + std::to_string(tensor.dims[0]) +
                   ", " + std::to_string(tensor.dims[1]) + ", " + std::to_string(tensor.dims[2]) +
                   ", " + std::to_string(tensor.dims[3]) + "]; the model's keys say [" +
                   std::to_string(columns) + ", " + std::to_string(rows) + ", 1, 1]");
}

// The packing that the kernels read for a tensor of this kind and file type.
Result<Packing> packing_of(const gguf::TensorInfo& tensor, Kind kind) {
    using TypeId = quant::Type;
    const TypeId type = tensor.type;
    const bool is_float = type == TypeId::kF32 || type == TypeId::kF16 || type == TypeId::kBF16;
    const char* expected = "F32, F16 or BF16";
    switch (kind) {
        case Kind::kTernary:
            if (is_float || type == TypeId::kI2_S || type == TypeId::kTQ1_0 ||
                type == TypeId::kTQ2_0) {
                return Packing::kTernary2Bit;
            }
            expected = "I2_S, TQ1_0, TQ2_0, F32, F16 or BF16";
            break;
        case Kind::kTable:
            if (type == TypeId::kF16) return Packing::kF16;
            if (is_float || type == TypeId::kQ8_0) return Packing::kF32;
            expected = "F32, F16, BF16 or Q8_0";
            break;
        case Kind::kVector:
            if (is_float) return Packing::kF32;
            break;
    }
    return unsupported("tensor " + quote(tensor.name) + " has type " +
                       std::string(quant::name_of(tensor.type)) + "; supported here are " +
                       expected);
}

uint64_t packed_bytes(Packing packing, uint64_t rows, uint64_t columns) {
    switch (packing) {
        case Packing::kF32:
            return rows * columns * sizeof(float);
        case Packing::kF16:
            return rows * columns * sizeof(uint16_t);
        case Packing::kTernary2Bit:
            return rows *
                   static_cast<uint64_t>(kernels::ternary_row_bytes(static_cast<int64_t>(columns)));
    }
    return 0;
}

class Planner {
  public:
    Planner(const gguf::File& file, const Hyperparameters& model) : file_(file), model_(model) {}

    Result<WeightsPlan> plan() {
        for (const Expected& expected : kOutside) {
            BITNETD_TRY(add(expected, std::string(expected.name), shm::kNoLayer));
        }
        BITNETD_TRY(add_output());
        BITNETD_TRY(add_rope());
        for (uint32_t layer = 0; layer < model_.layers; ++layer) {
            const std::string prefix = "blk." + std::to_string(layer) + ".";
            for (const Expected& expected : kInLayer) {
                BITNETD_TRY(add(expected, prefix + std::string(expected.name), layer));
            }
        }
        BITNETD_TRY(refuse_unused());
        place();
        return std::move(plan_);
    }

  private:
    Result<void> add(const Expected& expected, const std::string& name, uint32_t layer) {
        const gguf::TensorInfo* tensor = file_.find_tensor(name);
        if (tensor == nullptr && expected.need == Need::kOptional) return {};
        if (tensor == nullptr) return invalid("tensor " + name + " is missing");
        used_.insert(tensor);
        const uint32_t rows = size_of(expected.rows, model_);
        const uint32_t columns = size_of(expected.columns, model_);
        BITNETD_TRY(check_shape(*tensor, rows, columns));
        BITNETD_ASSIGN(const Packing packing, packing_of(*tensor, expected.kind));
        plan_.parameter_count += tensor->elements();
        if (expected.kind == Kind::kTernary)
            ternary_elements_[quant::name_of(tensor->type)] += tensor->elements();
        push({expected.part, layer, packing, 1, rows, columns, 0, 0}, tensor);
        return {};
    }

    void push(shm::TensorEntry entry, const gguf::TensorInfo* source) {
        entry.bytes = packed_bytes(entry.packing, entry.rows, entry.columns);
        plan_.tensors.push_back({entry, source});
    }

    // The first files of this architecture (bitnet-25) carry a copy of the embedding as output
    // matrix that their own engine never read.
    Result<void> add_output() {
        const gguf::TensorInfo* output = file_.find_tensor(kOutput.name);
        if (output == nullptr || model_.architecture_name != "bitnet-25") {
            return add(kOutput, std::string(kOutput.name), shm::kNoLayer);
        }
        used_.insert(output);
        log::info("tensor_ignored", {{"tensor", kOutput.name}, {"reason", "tied to token_embd"}});
        return check_shape(*output, model_.vocab, model_.hidden);
    }

    Result<void> add_rope() {
        push({TensorPart::kRopeCosSin, shm::kNoLayer, Packing::kF32, 1, model_.context,
              model_.rope_dims, 0, 0},
             nullptr);
        const gguf::TensorInfo* factors = file_.find_tensor("rope_freqs.weight");
        if (factors == nullptr) return {};
        used_.insert(factors);
        BITNETD_TRY(check_shape(*factors, 1, model_.rope_dims / 2));
        if (factors->type != quant::Type::kF32) {
            return unsupported("tensor rope_freqs.weight has type " +
                               std::string(quant::name_of(factors->type)) + "; expected F32");
        }
        plan_.rope_factors = factors;
        return {};
    }

    Result<void> refuse_unused() const {
        for (const gguf::TensorInfo& tensor : file_.tensors) {
            // Tables of rotary frequencies that follow from the keys.
            const bool derived = tensor.name.find(".attn_rot_embd") != std::string::npos ||
                                 tensor.name.ends_with("rotary_emb.inv_freq");
            if (used_.contains(&tensor) || derived) continue;
            return unsupported("tensor " + quote(tensor.name) + " is not part of " +
                               model_.architecture_name + " with " + std::to_string(model_.layers) +
                               " layers as this build computes it");
        }
        return {};
    }

    // No overflow: every tensor's elements are bounded by the file's size or by kRopeTableBytesMax.
    void place() {
        uint64_t end = sizeof(shm::WeightsHeader) + plan_.tensors.size() * sizeof(shm::TensorEntry);
        for (PlannedTensor& tensor : plan_.tensors) {
            tensor.entry.offset = round_up(end, shm::kTensorAlignment);
            end = tensor.entry.offset + tensor.entry.bytes;
        }
        plan_.segment_bytes = round_up(end, shm::kTensorAlignment);
        const auto most =
            std::max_element(ternary_elements_.begin(), ternary_elements_.end(),
                             [](const auto& a, const auto& b) { return a.second < b.second; });
        plan_.quantization = most->first;
    }

    const gguf::File& file_;
    const Hyperparameters& model_;
    WeightsPlan plan_;
    std::set<const gguf::TensorInfo*> used_;
    std::map<std::string_view, uint64_t> ternary_elements_;
};

}  // namespace

Result<WeightsPlan> plan_weights(const gguf::File& file, const Hyperparameters& model) {
    return Planner(file, model).plan();
}

}  // namespace bitnetd::worker
