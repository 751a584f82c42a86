// A model packed in memory by the loader's code, together with what it was packed from, and open to
// damage.
#pragma once

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <utility>
#include <vector>

#include "tests/support/worker/packed_model.h"
#include "tests/unit/worker/prepare/model_file.h"

namespace bitnetd::worker::test {

inline constexpr const char* kDemoModel = "demo-model/bitnet-tiny-stories-5m-i2_s.gguf";

class PreparedModel {
  public:
    explicit PreparedModel(const ModelFile& file) : PreparedModel(files_of(file.bytes()), {}) {}
    explicit PreparedModel(const std::vector<std::filesystem::path>& paths,
                           const PrepareOptions& options = {})
        : PreparedModel(load_files(paths), options) {}

    const Preparation& preparation() const { return preparation_; }
    std::span<const std::byte> segment() const { return bytes_.span(); }

    // The weight of a part.
    shm::TensorEntry& entry(shm::TensorPart part, uint32_t layer) {
        const auto& header = *reinterpret_cast<shm::WeightsHeader*>(bytes_.data());
        auto* const entries =
            reinterpret_cast<shm::TensorEntry*>(bytes_.data() + header.header_bytes);
        const auto* const end = entries + header.tensor_count;
        for (auto* at = entries; at != end; ++at) {
            const bool is_it = at->part == part && at->layer == layer;
            if (is_it && at->role == shm::TensorRole::kWeight) return *at;
        }
        throw std::runtime_error("no such part");
    }
    std::byte* bytes_of(const shm::TensorEntry& entry) { return bytes_.data() + entry.offset; }

  private:
    PreparedModel(std::vector<NamedSource> files, const PrepareOptions& options)
        : preparation_(open(std::move(files), options)), bytes_(preparation_.weights_bytes()) {
        std::fill(bytes_.span().begin(), bytes_.span().end(), std::byte{0});
        const auto packed = preparation_.pack(bytes_.span(), {});
        if (!packed.ok()) throw std::runtime_error(packed.error().message);
    }

    static Preparation open(std::vector<NamedSource> files, const PrepareOptions& options) {
        auto preparation = Preparation::open(std::move(files), options);
        if (!preparation.ok()) throw std::runtime_error(preparation.error().message);
        return std::move(preparation).value();
    }
    static std::vector<NamedSource> files_of(std::vector<std::byte> bytes) {
        std::vector<NamedSource> files;
        files.push_back({"model.gguf", std::make_unique<LoadedFile>(std::move(bytes))});
        return files;
    }

    Preparation preparation_;
    AlignedArray<std::byte> bytes_;
};

}  // namespace bitnetd::worker::test
