#include "worker/prepare/hyperparameters.h"

#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include "common/base/quote.h"

namespace bitnetd::worker {
namespace {

// Look-ups of "<architecture>.<name>".
class Keys {
  public:
    Keys(const gguf::Metadata& metadata, std::string architecture)
        : metadata_(metadata), prefix_(std::move(architecture) + ".") {}

    std::string full(std::string_view name) const { return prefix_ + std::string(name); }

    // 1 to `max`. Absent: `otherwise`, or an error when there is none.
    Result<uint32_t> count(std::string_view name, uint64_t max,
                           std::optional<uint32_t> otherwise = {}) const {
        BITNETD_ASSIGN(const auto found, metadata_.integer(full(name), max));
        if (!found && otherwise) return *otherwise;
        if (!found) return invalid("key " + full(name) + " is missing");
        if (*found == 0)
            return invalid("key " + full(name) + " is 0; expected 1 to " + std::to_string(max));
        return static_cast<uint32_t>(*found);
    }

    Result<double> number(std::string_view name, std::optional<double> otherwise = {}) const {
        BITNETD_ASSIGN(const auto found, metadata_.number(full(name)));
        if (!found && !otherwise) return invalid("key " + full(name) + " is missing");
        const double value = found ? *found : *otherwise;
        if (!std::isfinite(value)) return invalid("key " + full(name) + " is not finite");
        return value;
    }

    Result<std::string_view> text(std::string_view name, std::string_view otherwise) const {
        BITNETD_ASSIGN(const auto found, metadata_.text(full(name)));
        return found.value_or(otherwise);
    }

    // Whether a key is there with a value other than zero or false.
    bool is_set(std::string_view name) const {
        const gguf::Value* value = metadata_.find(full(name));
        if (value == nullptr) return false;
        if (const auto* number = std::get_if<uint64_t>(&value->content)) return *number != 0;
        if (const auto* number = std::get_if<int64_t>(&value->content)) return *number != 0;
        if (const auto* number = std::get_if<double>(&value->content)) return *number != 0;
        if (const auto* flag = std::get_if<bool>(&value->content)) return *flag;
        return true;
    }

  private:
    const gguf::Metadata& metadata_;
    std::string prefix_;
};

Result<std::string> read_architecture(const gguf::Metadata& metadata) {
    constexpr std::string_view kKey = "general.architecture";
    BITNETD_ASSIGN(const std::string_view name, gguf::required(kKey, metadata.text(kKey)));
    if (name != "bitnet-b1.58" && name != "bitnet-25") {
        return unsupported(
            "architecture " + quote(name) +
            " is not supported; this build runs bitnet-b1.58 (also named bitnet-25)");
    }
    return std::string(name);
}

// Files that are no whole model.
Result<void> check_kind(const gguf::Metadata& metadata) {
    BITNETD_ASSIGN(const auto kind, metadata.text("general.type"));
    if (kind && *kind != "model") {
        return unsupported("key general.type is " + quote(*kind) + "; expected 'model'");
    }
    BITNETD_ASSIGN(const auto parts, metadata.integer("split.count", UINT16_MAX));
    if (parts && *parts > 1) {
        return unsupported("the file is one of " + std::to_string(*parts) +
                           " parts; split files are not supported");
    }
    return {};
}

// Settings that would change the result and that the forward pass does not apply.
Result<void> refuse_unapplied(const Keys& keys) {
    for (const std::string_view name :
         {"expert_count", "attention.sliding_window", "attn_logit_softcapping",
          "final_logit_softcapping", "attention.scale", "logit_scale", "pooling_type"}) {
        if (keys.is_set(name)) {
            return unsupported("key " + keys.full(name) +
                               " asks for something this build does not do");
        }
    }
    return {};
}

Result<void> read_shape(const Keys& keys, Hyperparameters& out) {
    BITNETD_ASSIGN(out.layers, keys.count("block_count", kLayersMax));
    BITNETD_ASSIGN(out.hidden, keys.count("embedding_length", kHiddenMax));
    BITNETD_ASSIGN(out.ffn, keys.count("feed_forward_length", kInputsMax));
    BITNETD_ASSIGN(out.context, keys.count("context_length", kContextMax));
    BITNETD_ASSIGN(out.heads, keys.count("attention.head_count", kHiddenMax));
    BITNETD_ASSIGN(out.kv_heads, keys.count("attention.head_count_kv", kHiddenMax, out.heads));
    if (out.heads % out.kv_heads != 0) {
        return invalid("key " + keys.full("attention.head_count") + " is " +
                       std::to_string(out.heads) + ", no multiple of head_count_kv " +
                       std::to_string(out.kv_heads));
    }
    std::optional<uint32_t> head_dim;
    if (out.hidden % out.heads == 0) head_dim = out.hidden / out.heads;
    BITNETD_ASSIGN(out.head_dim, keys.count("attention.key_length", kHeadDimMax, head_dim));
    BITNETD_ASSIGN(const uint32_t value_dim,
                   keys.count("attention.value_length", kHeadDimMax, out.head_dim));
    if (value_dim != out.head_dim || out.head_dim > kHeadDimMax) {
        return unsupported(
            "heads of " + std::to_string(out.head_dim) + " keys and " + std::to_string(value_dim) +
            " values are not supported; expected equal ones up to " + std::to_string(kHeadDimMax));
    }
    if (uint64_t{out.heads} * out.head_dim > kInputsMax) {
        return unsupported(std::to_string(out.heads) + " heads of " + std::to_string(out.head_dim) +
                           " are more than the " + std::to_string(kInputsMax) +
                           " inputs a product may have");
    }
    return {};
}

Result<void> read_rope(const Keys& keys, Hyperparameters& out) {
    BITNETD_ASSIGN(out.rope_dims, keys.count("rope.dimension_count", kHeadDimMax, out.head_dim));
    if (out.rope_dims % 2 != 0 || out.rope_dims > out.head_dim) {
        return invalid("key " + keys.full("rope.dimension_count") + " is " +
                       std::to_string(out.rope_dims) + "; expected an even number up to " +
                       std::to_string(out.head_dim));
    }
    if (out.rope_table_bytes() > kRopeTableBytesMax) {
        return unsupported("a context of " + std::to_string(out.context) + " with " +
                           std::to_string(out.rope_dims) +
                           " rotated dimensions is too large for the rotary table");
    }
    BITNETD_ASSIGN(out.rope_base, keys.number("rope.freq_base", 10'000.0));
    if (out.rope_base < 1) return invalid("key " + keys.full("rope.freq_base") + " is below 1");
    BITNETD_ASSIGN(const std::string_view scaling, keys.text("rope.scaling.type", "linear"));
    if (scaling == "none") return {};
    if (scaling != "linear") {
        return unsupported("key " + keys.full("rope.scaling.type") + " is " + quote(scaling) +
                           "; this build does 'linear' and 'none'");
    }
    BITNETD_ASSIGN(const double old_factor, keys.number("rope.scale_linear", 0.0));
    BITNETD_ASSIGN(const double factor, keys.number("rope.scaling.factor", old_factor));
    if (factor != 0 && factor < 1) {
        return invalid("key " + keys.full("rope.scaling.factor") + " is below 1");
    }
    out.rope_angle_factor = factor == 0 ? 1 : 1 / factor;
    return {};
}

Result<void> read_norm_eps(const Keys& keys, Hyperparameters& out) {
    constexpr std::string_view kName = "attention.layer_norm_rms_epsilon";
    BITNETD_ASSIGN(const double eps, keys.number(kName));
    out.norm_eps = static_cast<float>(eps);
    if (out.norm_eps > 0 && eps < 1) return {};
    return invalid("key " + keys.full(kName) + " is " + std::to_string(eps) +
                   "; expected a number between 0 and 1");
}

}  // namespace

Result<void> check_architecture(const gguf::File& file) {
    BITNETD_TRY(check_kind(file.metadata));
    auto name = read_architecture(file.metadata);
    if (!name) return std::move(name).error();
    return {};
}

Result<Hyperparameters> read_hyperparameters(const gguf::File& file, uint32_t vocab) {
    Hyperparameters out;
    out.architecture = shm::Architecture::kBitnetB158;
    BITNETD_ASSIGN(out.architecture_name, read_architecture(file.metadata));
    const Keys keys(file.metadata, out.architecture_name);
    BITNETD_TRY(refuse_unapplied(keys));
    BITNETD_TRY(read_shape(keys, out));
    BITNETD_TRY(read_rope(keys, out));
    BITNETD_TRY(read_norm_eps(keys, out));
    BITNETD_ASSIGN(out.vocab, keys.count("vocab_size", UINT32_MAX, vocab));
    if (out.vocab != vocab) {
        return invalid("key " + keys.full("vocab_size") + " is " + std::to_string(out.vocab) +
                       ", but the vocabulary has " + std::to_string(vocab) + " tokens");
    }
    return out;
}

}  // namespace bitnetd::worker
