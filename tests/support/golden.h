// Where golden data lies and how tests read it. In the repository: tests/golden. The larger set is
// kept beside the repository and may be absent: BITNETD_GOLDEN_DIR names it, else
// <source>/../shared/ golden is looked at; a test that needs it skips with a word when it is not
// there.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace bitnetd::tests {

inline std::filesystem::path golden_path(const std::string& name) {
    return std::filesystem::path(BITNETD_SOURCE_DIR) / "tests/golden" / name;
}

inline std::filesystem::path large_golden_path(const std::string& name) {
    const char* given = std::getenv("BITNETD_GOLDEN_DIR");
    const std::filesystem::path folder =
        given != nullptr ? given : std::filesystem::path(BITNETD_SOURCE_DIR) / "../shared/golden";
    return folder / name;
}

// Throws when the file cannot be read: the test fails.
inline std::vector<std::byte> read_bytes(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path.string());
    const std::vector<char> text{std::istreambuf_iterator<char>(file), {}};
    const auto* data = reinterpret_cast<const std::byte*>(text.data());
    return {data, data + text.size()};
}

inline nlohmann::json read_json(const std::filesystem::path& path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot read " + path.string());
    return nlohmann::json::parse(file);
}

inline std::vector<std::byte> from_hex(const std::string& hex) {
    std::vector<std::byte> out;
    out.reserve(hex.size() / 2);
    for (size_t i = 0; i + 1 < hex.size(); i += 2) {
        out.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    return out;
}

}  // namespace bitnetd::tests
