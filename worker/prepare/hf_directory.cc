#include "worker/prepare/hf_directory.h"

#include <algorithm>
#include <span>

#include "common/base/quote.h"
#include "common/log/log.h"

namespace bitnetd::worker {
namespace {

constexpr std::string_view kOneFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";
constexpr std::string_view kWeightsEnding = ".safetensors";

bool is_pickle(std::string_view name) {
    return name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth");
}

}  // namespace

Result<HfDirectory> HfDirectory::open(std::vector<NamedSource> files) {
    HfDirectory out;
    out.files_ = std::move(files);
    std::sort(out.files_.begin(), out.files_.end(),
              [](const NamedSource& a, const NamedSource& b) { return a.name < b.name; });
    for (size_t i = 1; i < out.files_.size(); ++i) {
        if (out.files_[i].name == out.files_[i - 1].name) {
            return invalid("file " + quote(out.files_[i].name) + " is given twice");
        }
    }
    return out;
}

uint64_t HfDirectory::bytes() const {
    uint64_t bytes = 0;
    for (const NamedSource& file : files_)
        bytes += file.source->bytes();
    return bytes;
}

Source* HfDirectory::find(std::string_view name) const {
    for (const NamedSource& file : files_) {
        if (file.name == name) return file.source.get();
    }
    return nullptr;
}

Result<std::optional<std::string>> HfDirectory::read_text(std::string_view name,
                                                          size_t bytes_max) const {
    Source* const source = find(name);
    if (source == nullptr) return std::optional<std::string>();
    if (source->bytes() > bytes_max) {
        return invalid(std::string(name) + ": it has " + std::to_string(source->bytes()) +
                       " bytes; at most " + std::to_string(bytes_max) + " are read");
    }
    std::string text(static_cast<size_t>(source->bytes()), '\0');
    auto read = source->read_at(0, std::as_writable_bytes(std::span(text)));
    if (!read) return std::move(read).error().within(name);
    return std::optional(std::move(text));
}

Result<std::string> HfDirectory::read_required_text(std::string_view name, size_t bytes_max) const {
    BITNETD_ASSIGN(auto text, read_text(name, bytes_max));
    if (text) return std::move(*text);
    return invalid("the directory has no " + std::string(name));
}

Result<safetensors::File> HfDirectory::read_file(const std::string& name) const {
    Source* const source = find(name);
    if (source == nullptr) return invalid("the directory has no " + quote(name));
    auto file = safetensors::read(*source);
    if (!file) return std::move(file).error().within(name);
    return file;
}

Result<HfDirectory::Weights> HfDirectory::open_one(const std::string& name) const {
    BITNETD_ASSIGN(safetensors::File file, read_file(name));
    return Weights{safetensors::Checkpoint::of_one(std::move(file)), {find(name)}, {name}};
}

Result<HfDirectory::Weights> HfDirectory::open_shards(std::string_view index_name) const {
    BITNETD_ASSIGN(const std::string text,
                   read_required_text(index_name, safetensors::kIndexBytesMax));
    auto index = safetensors::parse_shard_index(text);
    if (!index) return std::move(index).error().within(index_name);
    std::vector<safetensors::File> files;
    std::vector<Source*> sources;
    for (const std::string& name : index->files) {
        auto file = read_file(name);
        if (!file) return std::move(file).error().within(index_name);
        files.push_back(std::move(*file));
        sources.push_back(find(name));
    }
    auto checkpoint = safetensors::Checkpoint::of_shards(*index, std::move(files));
    if (!checkpoint) return std::move(checkpoint).error().within(index_name);
    if (!checkpoint->unmapped().empty()) {
        log::warn("tensors_ignored", {{"reason", "not in the index"},
                                      {"count", checkpoint->unmapped().size()},
                                      {"first", quote(checkpoint->unmapped().front())}});
    }
    return Weights{std::move(*checkpoint), std::move(sources), std::move(index->files)};
}

Result<HfDirectory::Weights> HfDirectory::open_weights() const {
    if (has(kOneFile)) return open_one(std::string(kOneFile));
    if (has(kIndexFile)) return open_shards(kIndexFile);
    std::vector<std::string> names;
    for (const NamedSource& file : files_) {
        if (file.name.ends_with(kWeightsEnding)) names.push_back(file.name);
    }
    if (names.size() == 1) return open_one(names[0]);
    if (!names.empty()) {
        return invalid("the directory has " + std::to_string(names.size()) +
                       " .safetensors files but neither " + std::string(kOneFile) + " nor " +
                       std::string(kIndexFile) + " to say which belong together");
    }
    const bool pickled = std::any_of(files_.begin(), files_.end(),
                                     [](const NamedSource& file) { return is_pickle(file.name); });
    return invalid("the directory has no " + std::string(kOneFile) +
                   (pickled ? "; pickled checkpoints (.bin, .pt) are programs and are never read: "
                              "save the model as safetensors"
                            : ""));
}

}  // namespace bitnetd::worker
