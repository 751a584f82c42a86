#include "supervisor/lifecycle/model/model_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <string_view>

#include "common/gguf/split_name.h"
#include "shm/control/text_field.h"

namespace bitnetd::supervisor {
namespace {

// A folder of models, not of everything: reading a larger one would keep the supervisor busy.
constexpr size_t kDirectoryEntriesMax = 16'384;

constexpr std::string_view kConfig = "config.json";
constexpr std::string_view kOneCheckpoint = "model.safetensors";
constexpr std::string_view kShardIndex = "model.safetensors.index.json";
// Beside the configuration and the tensors; each may be absent, which the loader judges.
constexpr std::string_view kNeighbours[] = {
    "generation_config.json", "tokenizer.json",          "tokenizer_config.json",
    "chat_template.jinja",    "special_tokens_map.json", "modules.json",
};
constexpr std::string_view kPoolingFolder = "1_Pooling";

// O_NONBLOCK: a pipe put in a file's place must not stop the supervisor.
constexpr int kOpenFlags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

using Files = std::vector<ModelFile>;

std::string shown(std::string_view name) {
    return "'" + shm::printable(name) + "'";
}

// `name` within `folder`; nothing when it does not exist and need not.
Result<std::optional<ModelFile>> open_optional(int folder, const std::string& name) {
    Fd fd(openat(folder, name.c_str(), kOpenFlags));
    if (!fd && errno == ENOENT) return std::optional<ModelFile>{};
    if (!fd) return io_error("open " + shown(name), errno);
    struct stat info {};
    if (fstat(fd.get(), &info) != 0) return io_error("fstat " + shown(name), errno);
    if (!S_ISREG(info.st_mode)) return invalid(shown(name) + " is not a regular file");
    if (info.st_size == 0) return invalid(shown(name) + " is empty");
    if (name.size() >= sizeof(shm::ModelFileMessage::name)) {
        return invalid(shown(name) + " is too long a name");
    }
    return std::optional<ModelFile>(
        ModelFile{name, std::move(fd), static_cast<uint64_t>(info.st_size)});
}

Result<void> add_if_there(int folder, const std::string& name, Files& files) {
    BITNETD_ASSIGN(auto file, open_optional(folder, name));
    if (file) files.push_back(std::move(*file));
    return {};
}

Result<void> add(int folder, const std::string& name, Files& files) {
    const size_t before = files.size();
    BITNETD_TRY(add_if_there(folder, name, files));
    if (files.size() > before) return {};
    return Error{ErrorCode::kNotFound, shown(name) + " is missing"};
}

Result<Files> open_parts(int folder, const gguf::SplitName& split) {
    if (split.count > shm::kModelFilesMax) {
        return unsupported("the model is split into " + std::to_string(split.count) +
                           " files; at most " + std::to_string(shm::kModelFilesMax) +
                           " are supported");
    }
    Files files;
    for (uint32_t number = 1; number <= split.count; ++number) {
        auto added = add(folder, gguf::part_name(split.prefix, number, split.count), files);
        if (!added.ok()) {
            return std::move(added).error().within("of the " + std::to_string(split.count) +
                                                   " parts of the model");
        }
    }
    return files;
}

Result<Files> open_one_gguf(int folder, const std::string& name) {
    if (const auto split = gguf::parse_split_name(name)) return open_parts(folder, *split);
    Files files;
    BITNETD_TRY(add(folder, name, files));
    return files;
}

struct CloseDirectory {
    void operator()(DIR* directory) const { closedir(directory); }
};

// The names that end in .gguf or .safetensors, sorted.
Result<std::vector<std::string>> list_models(int folder) {
    Fd copy(openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!copy) return io_error("open the directory", errno);
    const std::unique_ptr<DIR, CloseDirectory> directory(fdopendir(copy.get()));
    if (directory == nullptr) return io_error("read the directory", errno);
    static_cast<void>(copy.release());  // the stream's now
    std::vector<std::string> names;
    for (size_t entries = 0;; ++entries) {
        errno = 0;
        const dirent* entry = readdir(directory.get());
        if (entry == nullptr && errno != 0) return io_error("read the directory", errno);
        if (entry == nullptr) break;
        if (entries == kDirectoryEntriesMax) {
            return invalid("it has more than " + std::to_string(kDirectoryEntriesMax) +
                           " entries; expected a folder with one model");
        }
        std::string name(entry->d_name);
        if (name.ends_with(".gguf") || name.ends_with(".safetensors")) {
            names.push_back(std::move(name));
        }
    }
    std::sort(names.begin(), names.end());
    return names;
}

// The pooling of an embedding model is said in a folder of its own.
Result<void> add_pooling(int folder, Files& files) {
    const Fd pooling(openat(folder, std::string(kPoolingFolder).c_str(),
                            O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!pooling) return {};
    const size_t before = files.size();
    BITNETD_TRY(add_if_there(pooling.get(), std::string(kConfig), files));
    if (files.size() > before) {
        files.back().name = std::string(kPoolingFolder) + "/" + std::string(kConfig);
    }
    return {};
}

// With an index the tensors are in whatever files it names, which only the loader reads: it gets
// all there are. Without, they are in the one file of the usual name.
Result<Files> open_checkpoint(int folder, const std::vector<std::string>& models) {
    Files files;
    BITNETD_TRY(add(folder, std::string(kConfig), files));
    for (const std::string_view name : kNeighbours)
        BITNETD_TRY(add_if_there(folder, std::string(name), files));
    BITNETD_TRY(add_pooling(folder, files));
    const size_t before = files.size();
    BITNETD_TRY(add_if_there(folder, std::string(kShardIndex), files));
    const bool sharded = files.size() > before;
    for (const std::string& name : models) {
        const bool wanted = sharded ? name.ends_with(".safetensors") : name == kOneCheckpoint;
        if (!wanted) continue;
        if (files.size() == shm::kModelFilesMax) {
            return unsupported("it has more than " + std::to_string(shm::kModelFilesMax) +
                               " files of a model");
        }
        BITNETD_TRY(add(folder, name, files));
    }
    return files;
}

// One name of each model among `names`: all parts of a split one are one model.
std::vector<std::string> gguf_models(const std::vector<std::string>& names) {
    std::map<std::pair<std::string, uint32_t>, std::string> models;
    for (const std::string& name : names) {
        if (!name.ends_with(".gguf")) continue;
        const auto split = gguf::parse_split_name(name);
        models.emplace(split ? std::pair(split->prefix, split->count) : std::pair(name, 0u), name);
    }
    std::vector<std::string> out;
    for (const auto& [key, name] : models)
        out.push_back(name);
    return out;
}

Result<Files> open_directory(int folder) {
    BITNETD_ASSIGN(const std::vector<std::string> names, list_models(folder));
    const auto models = gguf_models(names);
    const bool has_safetensors = std::any_of(
        names.begin(), names.end(), [](const auto& n) { return n.ends_with(".safetensors"); });
    if (has_safetensors) return open_checkpoint(folder, names);
    if (models.size() == 1) return open_one_gguf(folder, models.front());
    if (models.empty()) {
        return invalid(
            "the directory holds no model: expected config.json and *.safetensors, or one *.gguf");
    }
    return invalid("the directory holds " + std::to_string(models.size()) +
                   " GGUF models; name one of them, for example " + shown(models.front()));
}

Result<Files> open_files(const std::string& path) {
    const Fd whole(open(path.c_str(), kOpenFlags));
    if (!whole) return io_error("open", errno);
    struct stat info {};
    if (fstat(whole.get(), &info) != 0) return io_error("fstat", errno);
    if (S_ISDIR(info.st_mode)) return open_directory(whole.get());
    const size_t slash = path.rfind('/');
    const std::string name = slash == path.npos ? path : path.substr(slash + 1);
    const std::string folder_path = slash == path.npos ? "." : path.substr(0, slash + 1);
    const Fd folder(open(folder_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder) return io_error("open its directory", errno);
    return open_one_gguf(folder.get(), name);
}

}  // namespace

shm::ModelFileMessage ModelFile::message() const {
    shm::ModelFileMessage out{};
    out.bytes = bytes;
    shm::set_field(out.name, name);
    return out;
}

Result<std::vector<ModelFile>> open_model_files(const std::string& path) {
    auto files = open_files(path);
    if (!files.ok()) return std::move(files).error().within(path);
    return files;
}

uint64_t total_bytes(std::span<const ModelFile> files) {
    uint64_t bytes = 0;
    for (const ModelFile& file : files)
        bytes += file.bytes;
    return bytes;
}

}  // namespace bitnetd::supervisor
