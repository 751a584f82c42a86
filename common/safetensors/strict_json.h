// JSON files of checkpoints, untrusted: bounded in bytes and depth, no repeated keys; and typed
// look-ups whose errors say what was expected.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace bitnetd::safetensors {

inline constexpr int kJsonDepthMax = 32;

// One JSON object, strictly.
Result<nlohmann::json> parse_json_object(std::string_view text, size_t bytes_max);

// Look-ups in one object. A key with null is absent. `object` stays valid as long as this.
template <typename T>
using Found = Result<std::optional<T>>;

class Fields {
  public:
    // `where`: put before keys in errors, such as "rope_scaling.".
    explicit Fields(const nlohmann::json& object, std::string where = "")
        : object_(&object), where_(std::move(where)) {}

    bool has(std::string_view key) const { return find(key) != nullptr; }
    // Integers only: 1.0 is refused.
    Found<uint64_t> integer(std::string_view key, uint64_t min, uint64_t max) const;
    // Finite.
    Found<double> number(std::string_view key, double min, double max) const;
    Found<bool> boolean(std::string_view key) const;
    Found<std::string> text(std::string_view key, size_t bytes_max = kTextBytesMax) const;
    // An array of strings, or one string.
    Found<std::vector<std::string>> texts(std::string_view key) const;
    // An array of integers, or one.
    Found<std::vector<uint64_t>> integers(std::string_view key, uint64_t max) const;
    Found<Fields> object(std::string_view key) const;

    // Null when absent or null.
    const nlohmann::json* find(std::string_view key) const;
    // "key expected what; found value".
    Error wrong(std::string_view key, const std::string& expected) const;

    static constexpr size_t kTextBytesMax = 4096;
    static constexpr size_t kElementsMax = 4096;

  private:
    const nlohmann::json* object_;
    std::string where_;
};

// BITNETD_FIELD(config.layers, fields.integer("layers", 1, 512)): assigns what was found and leaves
// the target alone when the key is absent.
#define BITNETD_FIELD(target, look_up)                                           \
    do {                                                                         \
        auto bitnetd_found_ = (look_up);                                         \
        if (!bitnetd_found_.ok()) return std::move(bitnetd_found_).error();      \
        if (bitnetd_found_->has_value()) (target) = std::move(**bitnetd_found_); \
    } while (false)

}  // namespace bitnetd::safetensors
