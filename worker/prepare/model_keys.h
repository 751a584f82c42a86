// Look-ups of "<architecture>.<name>" among a model's keys, bounded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/gguf/metadata.h"

namespace bitnetd::worker {

class ModelKeys {
  public:
    // `metadata` outlives the keys.
    ModelKeys(const gguf::Metadata& metadata, std::string_view architecture)
        : metadata_(metadata), prefix_(std::string(architecture) + ".") {}

    std::string full(std::string_view name) const { return prefix_ + std::string(name); }

    // 1 to `max`; an array with one value per layer must have the same everywhere. Absent:
    // `otherwise`, or an error when there is none.
    Result<uint32_t> count(std::string_view name, uint64_t max,
                           std::optional<uint32_t> otherwise = {}) const;
    // Finite. Absent: `otherwise`, or an error when there is none.
    Result<double> number(std::string_view name, std::optional<double> otherwise = {}) const;
    Result<std::string_view> text(std::string_view name, std::string_view otherwise) const;
    // Absent: nothing. 0 is a value.
    Result<std::optional<uint64_t>> integer(std::string_view name, uint64_t max) const {
        return metadata_.integer(full(name), max);
    }
    Result<bool> flag(std::string_view name, bool otherwise) const;

    // Whether a key is there with a value other than zero or false.
    bool is_set(std::string_view name) const;

  private:
    // Of an array with a value per layer.
    Result<std::optional<uint64_t>> same_everywhere(const std::string& key) const;

    const gguf::Metadata& metadata_;
    std::string prefix_;
};

}  // namespace bitnetd::worker
