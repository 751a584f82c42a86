// A model packed by the real loader's code, in memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "tests/support/golden.h"
#include "worker/model/aligned_array.h"
#include "worker/prepare/prepare.h"

namespace bitnetd::worker::test {

// The bytes of a file, with the life of the source.
class LoadedFile final : public Source {
  public:
    explicit LoadedFile(const std::filesystem::path& path) : LoadedFile(tests::read_bytes(path)) {}
    explicit LoadedFile(std::vector<std::byte> bytes) : bytes_(std::move(bytes)), source_(bytes_) {}

    uint64_t bytes() const override { return source_.bytes(); }
    Result<void> read_at(uint64_t offset, std::span<std::byte> out) override {
        return source_.read_at(offset, out);
    }

  private:
    std::vector<std::byte> bytes_;
    MemorySource source_;
};

// The given files, or all in a given directory.
inline std::vector<NamedSource> load_files(const std::vector<std::filesystem::path>& paths) {
    std::vector<NamedSource> files;
    for (const auto& path : paths) {
        if (!std::filesystem::is_directory(path)) {
            files.push_back({path.filename().string(), std::make_unique<LoadedFile>(path)});
            continue;
        }
        for (const auto& entry : std::filesystem::directory_iterator(path)) {
            files.push_back(
                {entry.path().filename().string(), std::make_unique<LoadedFile>(entry.path())});
        }
    }
    return files;
}

class PackedModel {
  public:
    explicit PackedModel(const std::vector<std::filesystem::path>& paths,
                         const PrepareOptions& options = {}) {
        auto preparation = Preparation::open(load_files(paths), options);
        if (!preparation.ok()) throw std::runtime_error(preparation.error().message);
        bytes_ = AlignedArray<std::byte>(preparation->weights_bytes());
        std::fill(bytes_.span().begin(), bytes_.span().end(), std::byte{0});
        const auto packed = preparation->pack(bytes_.span(), {});
        if (!packed.ok()) throw std::runtime_error(packed.error().message);
    }
    std::span<const std::byte> segment() const { return bytes_.span(); }

  private:
    AlignedArray<std::byte> bytes_;
};

}  // namespace bitnetd::worker::test
