#include "tests/bench/serve/server_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "tests/bench/serve/http_get.h"

namespace bitnetd::bench {
namespace {

constexpr uint64_t kLookMs = 20;      // between two looks at a starting or ending server
constexpr uint64_t kStopMs = 40'000;  // a little more than server.drain_timeout_ms

void pause_ms(uint64_t ms) {
    const timespec time{0, static_cast<long>(ms * kNsPerMs)};
    nanosleep(&time, nullptr);
}

// Between fork and exec: only what is safe there. An interrupt at the terminal is ours to handle,
// and without us there is nobody to stop the server.
[[noreturn]] void become(const char* program, char* const* arguments, int log, pid_t parent) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(127);
    dup2(log, STDERR_FILENO);
    dup2(log, STDOUT_FILENO);
    execv(program, arguments);
    _exit(127);
}

}  // namespace

Result<std::unique_ptr<ServerProcess>> ServerProcess::start(const Options& options) {
    std::unique_ptr<ServerProcess> server(new ServerProcess);
    BITNETD_TRY(server->launch(options));
    BITNETD_TRY(server->wait_ready(options));
    return server;
}

ServerProcess::~ServerProcess() {
    if (is_running()) {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    std::error_code ignored;
    if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
}

Result<void> ServerProcess::launch(const Options& options) {
    if (access(options.program.c_str(), X_OK) != 0) {
        return io_error("start " + options.program + " (set BITNETD_BIN to its folder)", errno);
    }
    std::string name = (std::filesystem::temp_directory_path() / "bitnetd-bench-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) return io_error("make a directory like " + name, errno);
    directory_ = name;
    const std::string listen =
        options.unix_socket ? "unix:" + directory_ + "/http.sock" : "127.0.0.1:0";
    std::vector<std::string> arguments = {options.program, "--listen",    listen,
                                          "--model",       options.model, "--log.format=json"};
    arguments.insert(arguments.end(), options.flags.begin(), options.flags.end());
    std::vector<char*> pointers;
    for (std::string& argument : arguments)
        pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    const std::string log_path = directory_ + "/log";
    const Fd log(open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (!log) return io_error("open " + log_path, errno);
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ == 0) become(options.program.c_str(), pointers.data(), log.get(), parent);
    if (pid_ < 0) return io_error("fork", errno);
    return {};
}

Result<void> ServerProcess::wait_ready(const Options& options) {
    const uint64_t deadline_ns = monotonic_ns() + options.patience_ms * kNsPerMs;
    while (monotonic_ns() < deadline_ns) {
        if (!is_running()) return died();
        BITNETD_TRY(learn_address(options.unix_socket));
        if (knows_address_) {
            const Result<Page> page = http_get(address_, "/health/ready", 1000);
            if (page && page->status == 200) return {};
        }
        pause_ms(kLookMs);
    }
    return Error{ErrorCode::kUnavailable, "bitnetd was not ready within " +
                                              std::to_string(options.patience_ms / 1000) +
                                              " s; its log ends:\n" + log_end()};
}

// The port is the kernel's choice and stands in the log.
Result<void> ServerProcess::learn_address(bool unix_socket) {
    if (knows_address_) return {};
    std::ifstream log(directory_ + "/log");
    std::string line;
    while (std::getline(log, line)) {
        const auto event = nlohmann::json::parse(line, nullptr, false);
        if (!event.is_object() || event.value("event", "") != "listening") continue;
        const std::string text = event.value("address", "");
        BITNETD_ASSIGN(address_, Address::parse(unix_socket ? text : "http://" + text));
        knows_address_ = true;
        return {};
    }
    return {};
}

bool ServerProcess::is_running() {
    if (pid_ > 0 && waitpid(pid_, &wait_status_, WNOHANG) == pid_) pid_ = -1;
    return pid_ > 0;
}

Result<void> ServerProcess::stop() {
    if (!is_running()) return died();
    kill(pid_, SIGTERM);
    const uint64_t deadline_ns = monotonic_ns() + kStopMs * kNsPerMs;
    while (is_running()) {
        if (monotonic_ns() > deadline_ns) {
            return Error{ErrorCode::kUnavailable, "bitnetd did not end within " +
                                                      std::to_string(kStopMs / 1000) +
                                                      " s of SIGTERM; its log ends:\n" + log_end()};
        }
        pause_ms(kLookMs);
    }
    if (WIFEXITED(wait_status_) && WEXITSTATUS(wait_status_) == 0) return {};
    return died();
}

Error ServerProcess::died() {
    const std::string how = WIFSIGNALED(wait_status_)
                                ? "by signal " + std::to_string(WTERMSIG(wait_status_))
                                : "with status " + std::to_string(WEXITSTATUS(wait_status_));
    return {ErrorCode::kUnavailable, "bitnetd ended " + how + "; its log ends:\n" + log_end()};
}

std::string ServerProcess::log_end() const {
    constexpr size_t kShownBytes = 3000;
    std::ifstream log(directory_ + "/log");
    const std::string all{std::istreambuf_iterator<char>(log), {}};
    return all.size() <= kShownBytes ? all : "..." + all.substr(all.size() - kShownBytes);
}

}  // namespace bitnetd::bench
