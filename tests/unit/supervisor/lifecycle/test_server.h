// A real bitnetd with fake children, in a folder of its own. Its log and theirs come through one
// pipe as JSON lines; expect() reads until a line matches. Nothing waits by time but the watchdog.
#pragma once

#include <sys/types.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "common/base/fd.h"

namespace bitnetd::supervisor {

// A fresh folder, removed at the end.
class TemporaryFolder {
  public:
    TemporaryFolder();
    ~TemporaryFolder();
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

class TestServer {
  public:
    using Line = nlohmann::json;
    using Match = std::function<bool(const Line&)>;

    // `environment`: "NAME=value" on top of ours. `file`: its configuration file, as configure().
    explicit TestServer(std::vector<std::string> flags, std::vector<std::string> environment = {},
                        const std::string& file = "");
    ~TestServer();

    // The first line that matches and that no earlier expect() returned: lines of several processes
    // interleave, so their order is not the order of the test. On the watchdog's deadline or the
    // end of the log the test fails and a null value comes back.
    Line expect(const std::string& description, const Match& match);
    Line expect_event(const std::string& event);
    // fake_heard of this kind.
    Line expect_heard(const std::string& what, const Match& match = nullptr);

    // Writes the configuration file; "{folder}" stands for folder().
    void configure(std::string file) const;
    void signal(int number) const;
    // Reads the log to its end and returns the exit code; 128 + number when a signal ended it.
    int wait_for_exit();
    // Everything read so far.
    const std::vector<Line>& lines() const { return lines_; }
    const std::string& folder() const { return folder_.path(); }
    pid_t pid() const { return pid_; }

  private:
    bool read_more();

    TemporaryFolder folder_;
    pid_t pid_ = -1;
    Fd log_;
    std::string buffer_;
    std::vector<Line> lines_;
    std::set<size_t> taken_;  // lines that an expect() returned
};

}  // namespace bitnetd::supervisor
