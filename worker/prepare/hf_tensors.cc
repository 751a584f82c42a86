#include "worker/prepare/hf_tensors.h"

#include <map>
#include <string_view>
#include <utility>

#include "common/base/quote.h"
#include "common/log/log.h"
#include "common/safetensors/tensor_names.h"
#include "worker/prepare/hf_expected.h"
#include "worker/prepare/hf_metadata.h"

namespace bitnetd::worker {
namespace {

using safetensors::DType;
using safetensors::Family;
using safetensors::ModelConfig;
using safetensors::Part;
using safetensors::QuantizationMode;
using safetensors::TensorInfo;

// A tensor as found.
struct Found {
    std::string hf_name;
    size_t file = 0;
    const TensorInfo* info = nullptr;
    bool rows_permuted = false;
};

std::optional<quant::Type> float_type(DType type) {
    if (type == DType::kF32) return quant::Type::kF32;
    if (type == DType::kF16) return quant::Type::kF16;
    if (type == DType::kBF16) return quant::Type::kBF16;
    return std::nullopt;
}

std::vector<uint64_t> dims_of(const ExpectedTensor& expected) {
    if (expected.shape.rows == 1 && expected.role != HfRole::kProjection)
        return {expected.shape.columns};
    return {expected.shape.rows, expected.shape.columns};
}

// How a projection's weights are stored.
enum class Storage : uint8_t { kPlain, kPacked, kMaster };

class Mapper {
  public:
    Mapper(const HfDirectory::Weights& weights, const ModelConfig& config)
        : weights_(weights), config_(config) {}

    Result<std::vector<HfTensor>> map() {
        BITNETD_TRY(check_norm_eps());
        BITNETD_TRY(find_names());
        for (const ExpectedTensor& expected : expected_tensors(config_)) {
            BITNETD_TRY(add(expected));
            if (expected.name == "output_norm.weight") add_rope_factors();
        }
        if (!weights_found_.empty()) return unexpected(weights_found_.begin()->second);
        if (!scales_found_.empty()) return unexpected(scales_found_.begin()->second);
        return std::move(out_);
    }

  private:
    // The forward pass has one eps for all norms.
    Result<void> check_norm_eps() const {
        if (!config_.quantization || !config_.quantization->use_rms_norm) return {};
        if (config_.quantization->rms_norm_eps == config_.rms_norm_eps) return {};
        return unsupported("config.json: quantization_config.rms_norm_eps is " +
                           std::to_string(config_.quantization->rms_norm_eps) +
                           ", but rms_norm_eps is " + std::to_string(config_.rms_norm_eps) +
                           "; norms of one model are computed with the same");
    }

    Result<void> find_names() {
        for (const auto& [hf_name, place] : weights_.checkpoint.tensors()) {
            Found found{hf_name, place.file, place.tensor, false};
            const auto name = safetensors::find_gguf_name(hf_name, config_.family);
            if (!name) return unexpected(found);
            if (name->part == Part::kIgnored) continue;
            found.rows_permuted = name->rows_permuted;
            auto& table = name->part == Part::kWeightScale ? scales_found_ : weights_found_;
            const auto [other, is_new] = table.emplace(name->gguf_name, found);
            if (is_new) continue;
            return invalid("tensors " + quote(other->second.hf_name) + " and " + quote(hf_name) +
                           " are both " + name->gguf_name + " of the model");
        }
        return {};
    }

    Result<void> add(const ExpectedTensor& expected) {
        const auto at = weights_found_.find(expected.name);
        if (at == weights_found_.end()) {
            if (!expected.required) return {};
            const auto hf_name = safetensors::hf_name_of(expected.name, config_.family);
            return invalid("tensor " + quote(hf_name) + " is missing; a " + config_.architecture +
                           " with this config.json has it as " +
                           safetensors::show_shape(dims_of(expected)));
        }
        const Found found = at->second;
        weights_found_.erase(at);
        if (expected.name == "output.weight" && config_.tie_word_embeddings) {
            log::info("tensor_ignored", {{"tensor", quote(found.hf_name)},
                                         {"reason", "config.json ties it to the embedding"}});
            return check_shape(found, dims_of(expected));
        }
        switch (storage_of(expected)) {
            case Storage::kPacked:
                return add_packed(expected, found);
            case Storage::kMaster:
                return add_floats(expected, found, true);
            case Storage::kPlain:
                return add_floats(expected, found, false);
        }
        return {};
    }

    Storage storage_of(const ExpectedTensor& expected) const {
        if (expected.role != HfRole::kProjection) return Storage::kPlain;
        if (!config_.quantization) {
            // 1bitLLM's checkpoints are masters and do not say so.
            return config_.family == Family::kBitnet1 ? Storage::kMaster : Storage::kPlain;
        }
        std::string layer = safetensors::hf_name_of(expected.name, config_.family);
        layer.resize(layer.rfind('.'));  // without ".weight"
        if (!config_.quantization->converts(layer)) return Storage::kPlain;
        return config_.quantization->mode == QuantizationMode::kOffline ? Storage::kPacked
                                                                        : Storage::kMaster;
    }

    Result<void> add_floats(const ExpectedTensor& expected, const Found& found, bool ternary) {
        BITNETD_TRY(check_shape(found, dims_of(expected)));
        const auto type = float_type(found.info->type);
        if (!type) return wrong_type(found, "F32, F16 or BF16");
        HfTensor tensor = begin(expected, found, *type);
        tensor.tensor.ternary = ternary;
        if (config_.family == Family::kGemma3 && expected.role == HfRole::kNorm) {
            tensor.plus_one = true;
            tensor.tensor.type = quant::Type::kF32;
            tensor.tensor.bytes = expected.shape.columns * sizeof(float);
        }
        if (found.rows_permuted) tensor.permuted_head_dim = config_.head_dim;
        out_.push_back(std::move(tensor));
        return {};
    }

    Result<void> add_packed(const ExpectedTensor& expected, const Found& found) {
        if (found.info->type != DType::kU8) {
            return wrong_type(found,
                              "U8, packed: quantization_config.quantization_mode is offline");
        }
        BITNETD_TRY(check_shape(found, {(expected.shape.rows + 3) / 4, expected.shape.columns}));
        const auto at = scales_found_.find(expected.name);
        if (at == scales_found_.end()) {
            return invalid("tensor " + quote(found.hf_name + "_scale") + " is missing, the scale " +
                           "of the packed " + quote(found.hf_name));
        }
        const Found scale = at->second;
        scales_found_.erase(at);
        const auto scale_type = float_type(scale.info->type);
        if (!scale_type) return wrong_type(scale, "F32, F16 or BF16");
        if (!scale.info->shape.empty()) BITNETD_TRY(check_shape(scale, {1}));
        HfTensor tensor = begin(expected, found, quant::Type::kPackedU8);
        tensor.tensor.ternary = true;
        tensor.scale = place_of(scale, *scale_type);
        if (found.rows_permuted) tensor.permuted_head_dim = config_.head_dim;
        out_.push_back(std::move(tensor));
        return {};
    }

    HfTensor begin(const ExpectedTensor& expected, const Found& found, quant::Type type) const {
        HfTensor out;
        out.tensor = {expected.name, type, expected.shape, found.info->bytes(), false};
        out.hf_name = found.hf_name;
        out.place = place_of(found, type);
        return out;
    }

    HfPlace place_of(const Found& found, quant::Type type) const {
        const uint64_t data_start = weights_.checkpoint.files()[found.file].data_start;
        return {found.file, data_start + found.info->begin, type};
    }

    void add_rope_factors() {
        HfTensor out;
        out.values = rope_factors(config_);
        if (out.values.empty()) return;
        out.tensor = {"rope_freqs.weight",
                      quant::Type::kF32,
                      {1, out.values.size()},
                      out.values.size() * sizeof(float),
                      false};
        out_.push_back(std::move(out));
    }

    // "model.safetensors: tensor 'model.norm.weight'"
    std::string show(const Found& found) const {
        return weights_.names[found.file] + ": tensor " + quote(found.hf_name);
    }
    Result<void> check_shape(const Found& found, const std::vector<uint64_t>& dims) const {
        if (found.info->shape == dims) return {};
        return invalid(show(found) + " is " + safetensors::show_shape(found.info->shape) +
                       "; config.json makes it " + safetensors::show_shape(dims));
    }
    Error wrong_type(const Found& found, std::string_view expected) const {
        return unsupported(show(found) + " has dtype " +
                           std::string(safetensors::name_of(found.info->type)) + "; expected " +
                           std::string(expected));
    }
    Error unexpected(const Found& found) const {
        return unsupported(show(found) + " is not part of a " + config_.architecture +
                           " with this config.json");
    }

    const HfDirectory::Weights& weights_;
    const ModelConfig& config_;
    std::map<std::string, Found, std::less<>> weights_found_;  // by GGUF name, not yet expected
    std::map<std::string, Found, std::less<>> scales_found_;   // by their weight's
    std::vector<HfTensor> out_;
};

}  // namespace

Result<std::vector<HfTensor>> map_tensors(const HfDirectory::Weights& weights,
                                          const ModelConfig& config) {
    return Mapper(weights, config).map();
}

}  // namespace bitnetd::worker
