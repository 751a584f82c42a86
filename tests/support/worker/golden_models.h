// The larger golden set's models: where they are, their files, and what their files do not say.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/quant/tiles.h"
#include "tests/support/golden.h"
#include "worker/prepare/prepare.h"

namespace bitnetd::worker::test {

inline std::filesystem::path golden_models_folder() {
    return tests::large_golden_path("models");
}

// `golden`: the model's file in golden/.
inline PrepareOptions golden_options(const nlohmann::json& golden) {
    PrepareOptions options;
    if (!golden.contains("tiles")) return options;
    std::string text;
    for (const auto& [shape, tile] : golden["tiles"].items()) {
        text += (text.empty() ? "" : ";") + shape + "=" + std::to_string(tile[0].get<int>()) + "," +
                std::to_string(tile[1].get<int>()) + "," + std::to_string(tile[2].get<int>());
    }
    options.layout.tl_tiles = quant::parse_tiles(text).value();
    return options;
}

// One file, all parts, or a directory.
inline std::vector<std::filesystem::path> golden_paths(const std::string& name,
                                                       const nlohmann::json& golden) {
    const std::filesystem::path folder = golden_models_folder();
    if (std::filesystem::is_directory(folder / name)) return {folder / name};
    std::vector<std::filesystem::path> paths;
    for (const auto& file : golden["files"])
        paths.push_back(folder / file.get<std::string>());
    return paths;
}

}  // namespace bitnetd::worker::test
