#include "tests/unit/supervisor/lifecycle/test_server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "common/base/clock.h"

namespace bitnetd::supervisor {
namespace {

// Far above anything a loaded machine needs: only a hang gets here.
constexpr uint64_t kWatchdogNs = 100 * kNsPerS;

}  // namespace

TemporaryFolder::TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "bitnetd-test-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

TestServer::TestServer(std::vector<std::string> flags, std::vector<std::string> environment,
                       const std::string& file) {
    namespace fs = std::filesystem;
    const fs::path folder = folder_.path();
    const fs::path binaries = BITNETD_BINARY_DIR;
    // A copy, because bitnetd looks for its programs beside the real path of its executable.
    fs::copy_file(binaries / "bitnetd", folder / "bitnetd");
    for (const char* name : {"bitnetd-frontend", "bitnetd-worker", "bitnetd-loader"}) {
        fs::create_symlink(binaries / "fake-child", folder / name);
    }
    std::ofstream(folder / "model.gguf") << "a model";

    std::vector<std::string> args = {"bitnetd", "--log.format", "json"};
    if (file.empty()) {
        args.insert(args.end(), {"--listen", "127.0.0.1:0"});
    } else {
        configure(file);
        args.insert(args.end(), {"--config", folder / "bitnetd.toml"});
    }
    args.insert(args.end(), flags.begin(), flags.end());
    for (std::string& arg : args) {
        if (const size_t at = arg.find("{folder}"); at != arg.npos) arg.replace(at, 8, folder);
    }
    for (char** entry = environ; *entry != nullptr; ++entry)
        environment.emplace_back(*entry);
    std::vector<char*> argv;
    std::vector<char*> envp;
    for (std::string& arg : args)
        argv.push_back(arg.data());
    for (std::string& entry : environment)
        envp.push_back(entry.data());
    argv.push_back(nullptr);
    envp.push_back(nullptr);

    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) std::abort();
    log_ = Fd(ends[0]);
    const Fd write_end(ends[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, write_end.get(), STDERR_FILENO);
    const int error = posix_spawn(&pid_, (folder / "bitnetd").c_str(), &actions, nullptr,
                                  argv.data(), envp.data());
    posix_spawn_file_actions_destroy(&actions);
    EXPECT_EQ(error, 0);
}

TestServer::~TestServer() {
    if (pid_ <= 0) return;
    // Its children die with it (PR_SET_PDEATHSIG).
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
}

bool TestServer::read_more() {
    pollfd wait{log_.get(), POLLIN, 0};
    char bytes[4096];
    if (poll(&wait, 1, 1000) <= 0) return true;
    const ssize_t got = read(log_.get(), bytes, sizeof bytes);
    if (got <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(got));
    for (size_t end = buffer_.find('\n'); end != buffer_.npos; end = buffer_.find('\n')) {
        const std::string text = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        Line line = Line::parse(text, nullptr, false);
        // A failed check prints bare text; keep it readable.
        lines_.push_back(line.is_object() ? std::move(line)
                                          : Line{{"event", "text"}, {"text", text}});
    }
    return true;
}

TestServer::Line TestServer::expect(const std::string& description, const Match& match) {
    const uint64_t deadline = monotonic_ns() + kWatchdogNs;
    bool open = true;
    size_t seen = 0;
    while (true) {
        for (; seen < lines_.size(); ++seen) {
            if (taken_.contains(seen) || !match(lines_[seen])) continue;
            taken_.insert(seen);
            return lines_[seen];
        }
        if (!open || monotonic_ns() > deadline) break;
        open = read_more();
    }
    std::string all;
    for (const Line& line : lines_)
        all += line.dump() + "\n";
    ADD_FAILURE() << "never came: " << description << "\nthe log:\n" << all;
    return {};
}

TestServer::Line TestServer::expect_event(const std::string& event) {
    return expect("event " + event, [&](const Line& line) { return line["event"] == event; });
}

TestServer::Line TestServer::expect_heard(const std::string& what, const Match& match) {
    return expect("a child that heard " + what, [&](const Line& line) {
        return line["event"] == "fake_heard" && line["what"] == what && (!match || match(line));
    });
}

void TestServer::configure(std::string file) const {
    for (size_t at = file.find("{folder}"); at != file.npos; at = file.find("{folder}"))
        file.replace(at, 8, folder());
    std::ofstream(folder() + "/bitnetd.toml") << file;
}

void TestServer::signal(int number) const {
    kill(pid_, number);
}

int TestServer::wait_for_exit() {
    const uint64_t deadline = monotonic_ns() + kWatchdogNs;
    while (read_more()) {
        if (monotonic_ns() > deadline) {
            ADD_FAILURE() << "bitnetd (or a child of it) does not end";
            kill(pid_, SIGKILL);
            break;
        }
    }
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace bitnetd::supervisor
