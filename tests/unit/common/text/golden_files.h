// What the tests of common/text need beside tests/support/golden.h: JSON that keeps the order of
// its keys (templates print it), and images of golden vocabularies.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/gguf/gguf_reader.h"
#include "tests/support/golden.h"
#include "worker/prepare/vocabulary_from_gguf.h"

namespace bitnetd::tests {

inline std::string read_text(const std::filesystem::path& path) {
    const std::vector<std::byte> bytes = read_bytes(path);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline nlohmann::ordered_json read_ordered_json(const std::filesystem::path& path) {
    return nlohmann::ordered_json::parse(read_text(path));
}

inline std::vector<std::filesystem::path> json_files(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() == ".json") files.push_back(entry.path());
    }
    return files;
}

// What a test that needs the large golden set says when it is not there.
inline constexpr const char* kNoLargeGolden =
    "the large golden set is not there: put it at ../shared/golden or name it in "
    "BITNETD_GOLDEN_DIR";

// The vocabulary image of a GGUF file, made as the loader makes it.
inline Result<std::vector<std::byte>> vocabulary_image(const std::filesystem::path& gguf_path) {
    const std::vector<std::byte> bytes = read_bytes(gguf_path);
    MemorySource source(bytes);
    BITNETD_ASSIGN(const gguf::File file, gguf::read(source));
    return worker::vocabulary_from_gguf(file.metadata);
}

}  // namespace bitnetd::tests
