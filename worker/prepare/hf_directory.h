// The files of a Hugging Face directory: found by name, small ones read whole, the safetensors
// files opened as one checkpoint. Loader process; names and contents are untrusted.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/safetensors/shard_index.h"
#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

class HfDirectory {
  public:
    // Refuses two files of one name.
    static Result<HfDirectory> open(std::vector<NamedSource> files);

    // In the order of their names.
    const std::vector<NamedSource>& files() const { return files_; }
    uint64_t bytes() const;
    bool has(std::string_view name) const { return find(name) != nullptr; }

    // Nothing when there is no such file.
    Result<std::optional<std::string>> read_text(std::string_view name, size_t bytes_max) const;
    // The error says that the file is missing.
    Result<std::string> read_required_text(std::string_view name, size_t bytes_max) const;

    // Of a checkpoint's file k, sources[k] is where its bytes are and names[k] its name.
    struct Weights {
        safetensors::Checkpoint checkpoint;
        std::vector<Source*> sources;  // owned by this directory
        std::vector<std::string> names;
    };
    // model.safetensors; else what model.safetensors.index.json names; else the only .safetensors
    // file.
    Result<Weights> open_weights() const;

  private:
    Source* find(std::string_view name) const;
    Result<safetensors::File> read_file(const std::string& name) const;
    Result<Weights> open_one(const std::string& name) const;
    Result<Weights> open_shards(std::string_view index_name) const;

    std::vector<NamedSource> files_;
};

}  // namespace bitnetd::worker
