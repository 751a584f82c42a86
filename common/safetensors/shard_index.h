// A checkpoint of one or several safetensors files. model.safetensors.index.json says which file
// has which tensor; a directory that has model.safetensors needs no index, and an index beside it
// is not read.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/safetensors/safetensors_reader.h"

namespace bitnetd::safetensors {

inline constexpr size_t kIndexBytesMax = 32u << 20;
inline constexpr size_t kShardsMax = 1024;

struct ShardIndex {
    std::vector<std::string> files;  // plain names ending in .safetensors, each once, sorted
    std::map<std::string, size_t, std::less<>> file_of;  // tensor name -> index in `files`
};
Result<ShardIndex> parse_shard_index(std::string_view text);

// Where a tensor's bytes are: files[file].
struct TensorPlace {
    size_t file = 0;
    const TensorInfo* tensor = nullptr;
};

class Checkpoint {
  public:
    // model.safetensors.
    static Checkpoint of_one(File file);
    // The files that index.files names, in that order. Every tensor of the index must be in its
    // file.
    static Result<Checkpoint> of_shards(const ShardIndex& index, std::vector<File> files);

    Checkpoint(Checkpoint&&) = default;  // the files' tensors stay where they are
    Checkpoint& operator=(Checkpoint&&) = default;
    Checkpoint(const Checkpoint&) = delete;
    Checkpoint& operator=(const Checkpoint&) = delete;

    const std::vector<File>& files() const { return files_; }
    const std::map<std::string, TensorPlace, std::less<>>& tensors() const { return tensors_; }
    // Tensors in a file that the index does not give to it. They are not part of the checkpoint;
    // whoever loads it says so in the log.
    const std::vector<std::string>& unmapped() const { return unmapped_; }

  private:
    Checkpoint() = default;

    std::vector<File> files_;
    std::map<std::string, TensorPlace, std::less<>> tensors_;
    std::vector<std::string> unmapped_;
};

}  // namespace bitnetd::safetensors
