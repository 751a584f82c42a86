#include "worker/prepare/weights_plan.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/quote.h"
#include "common/log/log.h"
#include "worker/model/weights_view.h"
#include "worker/prepare/pack_screen.h"
#include "worker/prepare/packing_choice.h"

namespace bitnetd::worker {
namespace {

using shm::Packing;
using shm::TensorEntry;
using shm::TensorPart;
using shm::TensorRole;

// Values of an output matrix from which on reading it costs more than a screen does.
constexpr uint64_t kLargeOutput = 1u << 22;

// A matrix that holds q, k and v one below the other.
constexpr std::string_view kFusedName = "attn_qkv";
constexpr TensorPart kFusedParts[] = {TensorPart::kAttnQ, TensorPart::kAttnK, TensorPart::kAttnV};

bool is_fused_part(TensorPart part) {
    return std::find(std::begin(kFusedParts), std::end(kFusedParts), part) != std::end(kFusedParts);
}

Result<void> check_shape(const ModelTensor& tensor, uint64_t rows, uint64_t columns) {
    if (tensor.shape.rows == rows && tensor.shape.columns == columns) return {};
    return invalid("tensor " + quote(tensor.name) + " is " + quant::to_string(tensor.shape) +
                   "; the model's keys say " + quant::to_string({rows, columns}));
}

class Planner {
  public:
    Planner(const ModelInput& input, const Hyperparameters& model,
            std::optional<bool> output_screen)
        : input_(input), model_(model), sizes_(model.sizes()), output_screen_(output_screen) {}

    Result<WeightsPlan> plan() {
        for (const TensorSpec& spec : kTensorsOutside)
            BITNETD_TRY(add_outside(spec));
        add_screen();
        BITNETD_TRY(add_rope());
        for (uint32_t layer = 0; layer < model_.layers; ++layer) {
            for (const TensorSpec& spec : model_.family->layer_tensors)
                BITNETD_TRY(add_in_layer(spec, layer));
        }
        BITNETD_TRY(refuse_unused());
        BITNETD_TRY(place());
        return std::move(plan_);
    }

  private:
    // What a tensor is to the model, in which shape.
    struct Role {
        TensorPart part;
        TensorRole role;
        TensorKind kind;
        uint32_t layer;
        uint32_t rows;
        uint32_t columns;
    };

    const ModelTensor* take(const std::string& name) {
        const ModelTensor* tensor = input_.find(name);
        if (tensor != nullptr) used_.insert(tensor);
        return tensor;
    }

    Result<void> add(const ModelTensor& tensor, const Role& role, uint64_t first_row = 0,
                     const ModelTensor* scale = nullptr) {
        BITNETD_ASSIGN(const PackingChoice choice,
                       choose_packing(tensor, role.kind, *model_.family));
        const uint64_t elements = uint64_t{role.rows} * role.columns;
        plan_.parameter_count += elements;
        if (role.kind == TensorKind::kLinear)
            linear_elements_[quant::name_of(tensor.type)] += elements;
        plan_.tensors.push_back({{.part = role.part,
                                  .role = role.role,
                                  .layer = role.layer,
                                  .packing = choice.packing,
                                  .block_format = choice.block_format,
                                  .scale = 1,
                                  .rows = role.rows,
                                  .columns = role.columns,
                                  .offset = 0,
                                  .bytes = 0},
                                 &tensor,
                                 first_row,
                                 scale});
        return {};
    }

    Result<void> add_whole(const ModelTensor& tensor, const Role& role,
                           const ModelTensor* scale = nullptr) {
        BITNETD_TRY(check_shape(tensor, role.rows, role.columns));
        return add(tensor, role, 0, scale);
    }

    // The first files of the 2B-4T (bitnet-25) carry a copy of the embedding as output matrix that
    // their own engine never read.
    bool ignores_output() const { return model_.architecture == "bitnet-25"; }

    Result<void> add_outside(const TensorSpec& spec) {
        const ModelTensor* tensor = take(std::string(spec.name) + ".weight");
        if (tensor == nullptr && spec.need == TensorNeed::kOptional) return {};
        if (tensor == nullptr)
            return invalid("tensor " + std::string(spec.name) + ".weight is missing");
        if (spec.part == TensorPart::kOutput && ignores_output()) {
            log::info("tensor_ignored",
                      {{"tensor", tensor->name}, {"reason", "tied to token_embd"}});
            return check_shape(*tensor, model_.vocab, model_.hidden);
        }
        return add_whole(*tensor, {spec.part, TensorRole::kWeight, spec.kind, shm::kNoLayer,
                                   sizes_.of(spec.rows), sizes_.of(spec.columns)});
    }

    Result<void> add_in_layer(const TensorSpec& spec, uint32_t layer) {
        const std::string name = "blk." + std::to_string(layer) + "." + std::string(spec.name);
        const Role role{spec.part, TensorRole::kWeight,  spec.kind,
                        layer,     sizes_.of(spec.rows), sizes_.of(spec.columns)};
        const ModelTensor* tensor = take(name + ".weight");
        if (tensor == nullptr && is_fused_part(spec.part)) {
            BITNETD_ASSIGN(const bool found, add_from_fused(spec, role));
            if (found) return {};
        }
        if (tensor == nullptr) return invalid("tensor " + name + ".weight is missing");
        const ModelTensor* scale = (spec.extras & kScale) != 0 ? take(name + ".scale") : nullptr;
        if (scale != nullptr) BITNETD_TRY(check_shape(*scale, 1, 1));
        BITNETD_TRY(add_whole(*tensor, role, scale));
        return add_extras(spec, role, name);
    }

    Result<void> add_extras(const TensorSpec& spec, const Role& role, const std::string& name) {
        const bool needs_bias = (spec.extras & kNeedsBias) != 0;
        const bool may_have_bias = needs_bias || (spec.extras & kBias) != 0;
        const ModelTensor* bias = may_have_bias ? take(name + ".bias") : nullptr;
        if (bias == nullptr && needs_bias) return invalid("tensor " + name + ".bias is missing");
        if (bias != nullptr) {
            BITNETD_TRY(add_whole(*bias, {role.part, TensorRole::kBias, TensorKind::kVector,
                                          role.layer, 1, role.rows}));
        }
        const ModelTensor* norm =
            (spec.extras & kInputNorm) != 0 ? take(name + "_norm_in.weight") : nullptr;
        if (norm == nullptr) return {};
        return add_whole(*norm, {role.part, TensorRole::kInputNorm, TensorKind::kVector, role.layer,
                                 1, role.columns});
    }

    // A part of attn_qkv, if there is such a tensor.
    Result<bool> add_from_fused(const TensorSpec& spec, const Role& role) {
        const std::string name =
            "blk." + std::to_string(role.layer) + "." + std::string(kFusedName) + ".";
        const ModelTensor* fused = take(name + "weight");
        if (fused == nullptr) return false;
        const uint64_t query = sizes_.of(TensorSize::kQuery);
        const uint64_t kv = sizes_.of(TensorSize::kKv);
        const uint64_t first_row = spec.part == TensorPart::kAttnQ   ? 0
                                   : spec.part == TensorPart::kAttnK ? query
                                                                     : query + kv;
        BITNETD_TRY(check_shape(*fused, query + 2 * kv, role.columns));
        BITNETD_TRY(add(*fused, role, first_row));
        if ((spec.extras & kBias) == 0) return true;
        const ModelTensor* bias = take(name + "bias");
        if (bias == nullptr) return true;
        BITNETD_TRY(check_shape(*bias, 1, query + 2 * kv));
        BITNETD_TRY(add(
            *bias, {role.part, TensorRole::kBias, TensorKind::kVector, role.layer, 1, role.rows},
            first_row));
        return true;
    }

    void add_screen() {
        const PlannedTensor* output = nullptr;
        for (const PlannedTensor& tensor : plan_.tensors) {
            const TensorPart part = tensor.entry.part;
            const bool is_tied = part == TensorPart::kTokenEmbedding && output == nullptr;
            if (is_tied || part == TensorPart::kOutput) output = &tensor;
        }
        const bool is_float = output->source->type == quant::Type::kF32 ||
                              output->source->type == quant::Type::kF16 ||
                              output->source->type == quant::Type::kBF16;
        // Capped logits can be equal where the products are not, so their order is not known here.
        const bool possible = is_float && model_.hidden % kScreenUnit == 0 &&
                              model_.logit_soft_cap == 0 && model_.pooling == shm::Pooling::kNone;
        const bool is_large = uint64_t{model_.vocab} * model_.hidden >= kLargeOutput;
        if (!possible || !output_screen_.value_or(is_large)) return;
        const ModelTensor* source = output->source;
        TensorEntry entry{.part = TensorPart::kOutput,
                          .role = TensorRole::kScreen,
                          .layer = shm::kNoLayer,
                          .packing = Packing::kBlocks,
                          .block_format = static_cast<uint32_t>(kScreenFormat),
                          .scale = 1,
                          .rows = model_.vocab,
                          .columns = model_.hidden,
                          .offset = 0,
                          .bytes = 0};
        plan_.tensors.push_back({entry, source, 0, nullptr});
        entry.role = TensorRole::kScreenErrors;
        entry.packing = Packing::kF32;
        entry.block_format = 0;
        entry.columns = 2;
        plan_.tensors.push_back({entry, source, 0, nullptr});
    }

    void add_rope_table(TensorPart part) {
        plan_.tensors.push_back({{.part = part,
                                  .role = TensorRole::kWeight,
                                  .layer = shm::kNoLayer,
                                  .packing = Packing::kF32,
                                  .block_format = 0,
                                  .scale = 1,
                                  .rows = model_.context,
                                  .columns = model_.rope_dims,
                                  .offset = 0,
                                  .bytes = 0},
                                 nullptr,
                                 0,
                                 nullptr});
    }

    Result<void> add_rope() {
        add_rope_table(TensorPart::kRopeCosSin);
        if (model_.has_windowed_rope()) add_rope_table(TensorPart::kRopeCosSinWindowed);
        plan_.rope_factors = take("rope_freqs.weight");
        if (plan_.rope_factors == nullptr) return {};
        if (plan_.rope_factors->type != quant::Type::kF32) {
            return unsupported("tensor rope_freqs.weight has type " +
                               std::string(quant::name_of(plan_.rope_factors->type)) +
                               "; expected F32");
        }
        return check_shape(*plan_.rope_factors, 1, model_.rope_dims / 2);
    }

    Result<void> refuse_unused() const {
        for (const ModelTensor& tensor : input_.tensors()) {
            // Tables of rotary frequencies that follow from the keys.
            const bool derived = tensor.name.find(".attn_rot_embd") != std::string::npos ||
                                 tensor.name.ends_with("rotary_emb.inv_freq");
            if (used_.contains(&tensor) || derived) continue;
            return unsupported("tensor " + quote(tensor.name) + " is not part of " +
                               model_.architecture + " with " + std::to_string(model_.layers) +
                               " layers as this build computes it");
        }
        return {};
    }

    // No overflow: every tensor's elements are bounded by the files' size or by kRopeTableBytesMax.
    Result<void> place() {
        uint64_t end = sizeof(shm::WeightsHeader) + plan_.tensors.size() * sizeof(shm::TensorEntry);
        for (PlannedTensor& tensor : plan_.tensors) {
            TensorEntry& entry = tensor.entry;
            const auto bytes =
                packed_bytes(entry.packing, entry.block_format, entry.rows, entry.columns);
            if (!bytes) {
                return unsupported("tensor " + quote(tensor.source->name) + " of " +
                                   quant::to_string({entry.rows, entry.columns}) +
                                   " cannot be packed");
            }
            entry.bytes = *bytes;
            entry.offset = round_up(end, shm::kTensorAlignment);
            end = entry.offset + entry.bytes;
        }
        plan_.segment_bytes = round_up(end, shm::kTensorAlignment);
        const auto most =
            std::max_element(linear_elements_.begin(), linear_elements_.end(),
                             [](const auto& a, const auto& b) { return a.second < b.second; });
        plan_.quantization = most->first;
        return {};
    }

    const ModelInput& input_;
    const Hyperparameters& model_;
    const ModelSizes sizes_;
    const std::optional<bool> output_screen_;
    WeightsPlan plan_;
    std::set<const ModelTensor*> used_;
    std::map<std::string_view, uint64_t> linear_elements_;
};

}  // namespace

Result<WeightsPlan> plan_weights(const ModelInput& input, const Hyperparameters& model,
                                 std::optional<bool> output_screen) {
    return Planner(input, model, output_screen).plan();
}

}  // namespace bitnetd::worker
