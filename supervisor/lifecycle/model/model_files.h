// Which files a model's path stands for, opened for a loader that may open nothing itself:
//   a file                             itself
//   a part of a split GGUF file        all parts, by the prefix and count in its name
//   a directory with a checkpoint      config.json, its known neighbours and *.safetensors
//   a directory with one GGUF model    that model
// No byte of any file is read. Symbolic links to files are followed, because the caches of model
// hubs consist of them; folders below the given one must be real. What is opened is a regular,
// non-empty file, whatever its name pretends. Supervisor and bitnetctl; blocks while the file
// system does.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "shm/abi/control_abi.h"

namespace bitnetd::supervisor {

struct ModelFile {
    std::string name;  // within the directory
    Fd fd;             // read-only
    uint64_t bytes = 0;

    shm::ModelFileMessage message() const;
};

// 1 .. shm::kModelFilesMax files, each name once. The error names the path, what was expected there
// and what was found.
Result<std::vector<ModelFile>> open_model_files(const std::string& path);

uint64_t total_bytes(std::span<const ModelFile> files);

}  // namespace bitnetd::supervisor
