#include "supervisor/lifecycle/process/executables.h"

#include <fcntl.h>

#include <cerrno>
#include <climits>

#include "supervisor/lifecycle/settings/worker_devices.h"

namespace bitnetd::supervisor {
namespace {

Result<Fd> open_program(const std::string& path) {
    Fd program(open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!program) return io_error("open program " + path, errno);
    // AT_EACCESS would ask for the effective user; we never run with differing ids.
    if (access(path.c_str(), X_OK) != 0) return io_error("program " + path, errno);
    return program;
}

}  // namespace

Result<std::string> own_program() {
    char path[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
    if (length <= 0) return io_error("read /proc/self/exe", errno);
    return std::string(path, static_cast<size_t>(length));
}

std::string folder_of(const std::string& path) {
    return path.substr(0, path.rfind('/'));
}

Result<Executables> open_executables(const std::string& folder) {
    Executables programs;
    BITNETD_ASSIGN(programs.frontend, open_program(folder + "/bitnetd-frontend"));
    BITNETD_ASSIGN(programs.worker, open_program(folder + "/bitnetd-worker"));
    BITNETD_ASSIGN(programs.loader, open_program(folder + "/bitnetd-loader"));
    // Only machines with a GPU have it.
    if (auto cuda = open_program(folder + "/bitnetd-worker-cuda"); cuda.ok()) {
        programs.worker_cuda = std::move(*cuda);
    }
    return programs;
}

std::vector<NamedFd> named(const Executables& programs) {
    std::vector<NamedFd> fds = {{"program.frontend", programs.frontend.get()},
                                {"program.worker", programs.worker.get()},
                                {"program.loader", programs.loader.get()},
                                {"program.worker-cuda", programs.worker_cuda.get()}};
    std::erase_if(fds, [](const NamedFd& fd) { return fd.fd < 0; });
    return fds;
}

Result<Executables> inherit_executables(Inherited& inherited, const std::string& folder) {
    Executables programs{inherited.take("program.frontend"), inherited.take("program.worker"),
                         inherited.take("program.worker-cuda"), inherited.take("program.loader")};
    if (programs.frontend && programs.worker && programs.loader) return programs;
    return open_executables(folder);
}

Result<void> check_program_for(const Executables& programs, const std::string& device) {
    if (!is_gpu(device) || programs.worker_cuda) return {};
    return invalid("server.gpu: " + device +
                   " needs the program bitnetd-worker-cuda beside bitnetd");
}

}  // namespace bitnetd::supervisor
