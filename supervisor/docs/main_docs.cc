// bitnetd-docs FOLDER: writes the example configuration, the manual pages and the shell completion.
// Runs while building (target `manual`); it is not installed.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "common/config/exit_codes.h"
#include "shm/inspect/command_line.h"
#include "supervisor/ctl/command_line.h"
#include "supervisor/docs/command_pages.h"
#include "supervisor/docs/settings_pages.h"
#include "supervisor/lifecycle/settings/command_line.h"

namespace bitnetd::supervisor {
namespace {

bool write_page(const std::string& path, const std::string& text) {
    std::ofstream file(path);
    file << text << std::flush;
    if (!file) std::fprintf(stderr, "bitnetd-docs: cannot write %s\n", path.c_str());
    return static_cast<bool>(file);
}

bool write_all(const std::string& folder) {
    bool good = write_page(folder + "/bitnetd.toml", example_file()) &&
                write_page(folder + "/bitnetd.toml.5", settings_manual());
    visit_command_line([&](const CLI::App& app) {
        good = good && write_page(folder + "/bitnetd.8", server_manual(app)) &&
               write_page(folder + "/bitnetd.bash", bash_completion(app));
    });
    visit_ctl_command_line([&](const CLI::App& app) {
        good = good && write_page(folder + "/bitnetctl.1", control_manual(app)) &&
               write_page(folder + "/bitnetctl.bash", bash_completion(app));
    });
    const shm::DumpCommandLine dump;
    return good && write_page(folder + "/bitnet-shmdump.1", dump_manual(dump.app));
}

}  // namespace
}  // namespace bitnetd::supervisor

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fputs("usage: bitnetd-docs FOLDER\n", stderr);
        return bitnetd::kExitUsage;
    }
    std::error_code failed;
    std::filesystem::create_directories(argv[1], failed);
    return bitnetd::supervisor::write_all(argv[1]) ? bitnetd::kExitOk : bitnetd::kExitFailed;
}
