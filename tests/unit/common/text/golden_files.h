// Golden files for the tests of common/text: the everyday ones in tests/golden, and the full set,
// which lies beside a checkout or where BITNETD_GOLDEN_DIR says.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace bitnetd::text::testing {

inline std::filesystem::path everyday_golden() {
    return std::filesystem::path(BITNETD_SOURCE_DIR) / "tests/golden";
}

// Empty when the full set is not on this machine.
inline std::filesystem::path full_golden() {
    const char* named = std::getenv("BITNETD_GOLDEN_DIR");
    std::filesystem::path path =
        named != nullptr ? std::filesystem::path(named)
                         : std::filesystem::path(BITNETD_SOURCE_DIR) / "../shared/golden";
    return std::filesystem::is_directory(path) ? path : std::filesystem::path();
}

inline std::string read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::string bytes(file ? std::filesystem::file_size(path) : 0, '\0');
    file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return bytes;
}

inline nlohmann::ordered_json read_json(const std::filesystem::path& path) {
    return nlohmann::ordered_json::parse(read_file(path));
}

inline std::vector<std::filesystem::path> json_files(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() == ".json") files.push_back(entry.path());
    }
    return files;
}

}  // namespace bitnetd::text::testing
