#include "worker/prepare/model_keys.h"

#include <cmath>
#include <utility>
#include <variant>
#include <vector>

namespace bitnetd::worker {

Result<uint32_t> ModelKeys::count(std::string_view name, uint64_t max,
                                  std::optional<uint32_t> otherwise) const {
    const std::string key = full(name);
    std::optional<uint64_t> found;
    const gguf::Value* value = metadata_.find(key);
    if (value != nullptr && value->type == gguf::ValueType::kArray) {
        BITNETD_ASSIGN(found, same_everywhere(key));
    } else {
        BITNETD_ASSIGN(found, metadata_.integer(key, max));
    }
    if (!found && otherwise) return *otherwise;
    if (!found) return invalid("key " + key + " is missing");
    if (*found == 0 || *found > max) {
        return invalid("key " + key + " is " + std::to_string(*found) + "; expected 1 to " +
                       std::to_string(max));
    }
    return static_cast<uint32_t>(*found);
}

Result<std::optional<uint64_t>> ModelKeys::same_everywhere(const std::string& key) const {
    auto values = metadata_.integers(key);
    if (!values) return std::move(values).error();
    const std::vector<int64_t> per_layer = std::move(**values);
    if (per_layer.empty()) return invalid("key " + key + " is an empty array");
    for (const int64_t value : per_layer) {
        if (value == per_layer.front() && value >= 0) continue;
        return unsupported("key " + key +
                           " differs between layers or is negative; expected one "
                           "value for all");
    }
    return std::optional<uint64_t>(static_cast<uint64_t>(per_layer.front()));
}

Result<double> ModelKeys::number(std::string_view name, std::optional<double> otherwise) const {
    BITNETD_ASSIGN(const auto found, metadata_.number(full(name)));
    if (!found && !otherwise) return invalid("key " + full(name) + " is missing");
    const double value = found ? *found : *otherwise;
    if (!std::isfinite(value)) return invalid("key " + full(name) + " is not finite");
    return value;
}

Result<std::string_view> ModelKeys::text(std::string_view name, std::string_view otherwise) const {
    BITNETD_ASSIGN(const auto found, metadata_.text(full(name)));
    return found.value_or(otherwise);
}

Result<bool> ModelKeys::flag(std::string_view name, bool otherwise) const {
    BITNETD_ASSIGN(const auto found, metadata_.boolean(full(name)));
    return found.value_or(otherwise);
}

bool ModelKeys::is_set(std::string_view name) const {
    const gguf::Value* value = metadata_.find(full(name));
    if (value == nullptr) return false;
    if (const auto* number = std::get_if<uint64_t>(&value->content)) return *number != 0;
    if (const auto* number = std::get_if<int64_t>(&value->content)) return *number != 0;
    if (const auto* number = std::get_if<double>(&value->content)) return *number != 0;
    if (const auto* flag = std::get_if<bool>(&value->content)) return *flag;
    return true;
}

}  // namespace bitnetd::worker
