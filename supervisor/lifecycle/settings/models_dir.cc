#include "supervisor/lifecycle/settings/models_dir.h"

#include <cstdlib>
#include <memory>

namespace bitnetd::supervisor {
namespace {

// Empty when there is no such file.
std::string resolved(const std::string& path) {
    const std::unique_ptr<char, void (*)(void*)> text(realpath(path.c_str(), nullptr), std::free);
    return text ? std::string(text.get()) : std::string();
}

}  // namespace

Result<std::string> path_in_models_dir(const std::vector<std::string>& directories,
                                       const std::string& path) {
    if (directories.empty()) {
        return invalid("no server.models_dir is configured: models cannot be named over HTTP");
    }
    const std::string real = resolved(path);
    for (const std::string& directory : directories) {
        const std::string folder = resolved(directory);
        // A file that is not there is not said to be missing: that would be an answer about files
        // outside as well.
        if (!real.empty() && !folder.empty() && real.starts_with(folder + "/")) return real;
    }
    return invalid("model_path: expected an existing file inside a models directory");
}

}  // namespace bitnetd::supervisor
