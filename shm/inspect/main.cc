// bitnet-shmdump: asks a running bitnetd for read-only descriptors of its rings and boards, those
// of the last dead incarnations too, and prints what is in them. It can change nothing.
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>

#include "common/config/exit_codes.h"
#include "shm/inspect/command_line.h"
#include "shm/inspect/inspect.h"

namespace bitnetd::shm {
namespace {
using Json = nlohmann::ordered_json;

void print_items(const Json& items) {
    for (const Json& item : items) {
        std::cout << item["name"].get<std::string>() << "  incarnation " << item["incarnation"]
                  << (item["alive"].get<bool>() ? "  alive\n" : "  dead\n");
        if (item.contains("error")) {
            std::cout << "  error  " << item["error"].get<std::string>() << "\n";
        } else {
            std::cout << to_text(item["contents"], 2);
        }
        std::cout << "\n";
    }
}

int run(int argc, char** argv) {
    DumpCommandLine line;
    try {
        line.app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return line.app.exit(error) == 0 ? kExitOk : kExitUsage;  // --help and --version are such
    }
    const auto items = inspect_server(control_path(line.control));
    if (!items.ok()) {
        std::cerr << "bitnet-shmdump: " << items.error().message << "\n";
        return items.error().code == ErrorCode::kIo ? kExitNoServer : kExitFailed;
    }
    if (line.as_json) {
        std::cout << items->dump(2) << "\n";
    } else {
        print_items(*items);
    }
    return std::cout.flush() ? kExitOk : kExitFailed;
}

}  // namespace
}  // namespace bitnetd::shm

int main(int argc, char** argv) {
    try {
        return bitnetd::shm::run(argc, argv);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "bitnet-shmdump: %s\n", failure.what());
        return bitnetd::kExitFailed;
    }
}
