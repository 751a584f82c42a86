#include "common/safetensors/shard_index.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/quote.h"
#include "common/safetensors/strict_json.h"

namespace bitnetd::safetensors {
namespace {

// A name that stays in its directory.
bool is_plain_file_name(std::string_view name) {
    constexpr std::string_view kEnding = ".safetensors";
    const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
        return c > ' ' && c <= '~' && c != '/' && c != '\\';
    });
    return plain && name.size() > kEnding.size() && name.size() <= 255 && name.ends_with(kEnding) &&
           name.front() != '.';
}

}  // namespace

Result<ShardIndex> parse_shard_index(std::string_view text) {
    BITNETD_ASSIGN(const nlohmann::json json, parse_json_object(text, kIndexBytesMax));
    const Fields fields(json);
    const nlohmann::json* const map = fields.find("weight_map");
    if (map == nullptr || !map->is_object()) return fields.wrong("weight_map", "an object");
    if (map->size() > kTensorsMax) {
        return invalid("weight_map has more than " + std::to_string(kTensorsMax) + " tensors");
    }
    ShardIndex index;
    std::map<std::string, size_t> places;
    for (const auto& [tensor, file] : map->items()) {
        if (!file.is_string() || !is_plain_file_name(file.get_ref<const std::string&>())) {
            return invalid("weight_map gives tensor " + quote(tensor) +
                           " something else than the plain name of a .safetensors file");
        }
        places.emplace(file.get<std::string>(), 0);
        if (places.size() > kShardsMax) {
            return invalid("weight_map names more than " + std::to_string(kShardsMax) + " files");
        }
    }
    for (auto& [file, place] : places) {
        place = index.files.size();
        index.files.push_back(file);
    }
    for (const auto& [tensor, file] : map->items())
        index.file_of.emplace(tensor, places.at(file.get<std::string>()));
    if (index.files.empty()) return invalid("weight_map is empty");
    return index;
}

Checkpoint Checkpoint::of_one(File file) {
    Checkpoint checkpoint;
    checkpoint.files_.push_back(std::move(file));
    for (const TensorInfo& tensor : checkpoint.files_[0].tensors)
        checkpoint.tensors_.emplace(tensor.name, TensorPlace{0, &tensor});
    return checkpoint;
}

Result<Checkpoint> Checkpoint::of_shards(const ShardIndex& index, std::vector<File> files) {
    BITNETD_CHECK(files.size() == index.files.size());
    Checkpoint checkpoint;
    checkpoint.files_ = std::move(files);
    for (const auto& [name, file] : index.file_of) {
        const TensorInfo* const tensor = checkpoint.files_[file].find_tensor(name);
        if (tensor == nullptr) {
            return invalid("the index says that tensor " + quote(name) + " is in " +
                           quote(index.files[file]) + ", but it is not");
        }
        checkpoint.tensors_.emplace(name, TensorPlace{file, tensor});
    }
    for (size_t file = 0; file < checkpoint.files_.size(); ++file) {
        for (const TensorInfo& tensor : checkpoint.files_[file].tensors) {
            const auto at = index.file_of.find(tensor.name);
            if (at != index.file_of.end() && at->second == file) continue;
            checkpoint.unmapped_.push_back(index.files[file] + ": " + tensor.name);
        }
    }
    return checkpoint;
}

}  // namespace bitnetd::safetensors
