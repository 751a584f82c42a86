#include "supervisor/ctl/top.h"

#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <optional>

#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "supervisor/ctl/control_client.h"
#include "supervisor/ctl/terminal_screen.h"
#include "supervisor/ctl/top_view.h"

namespace bitnetd::supervisor {
namespace {

constexpr uint64_t kIntervalNs = kNsPerS;

class Top {
  public:
    Top(const ServerCommand& command, const std::string& control,
        const shm::CommandMessage& message, Interrupts& interrupts)
        : command_(command), control_(control), message_(message), interrupts_(interrupts) {
        if (!command.json && TerminalScreen::possible()) screen_.emplace();
    }

    int run() {
        uint64_t next_ns = monotonic_ns();
        for (uint64_t shown = 0; command_.count == 0 || shown < command_.count; ++shown) {
            if (shown > 0 && !wait_until(next_ns)) return kExitOk;
            next_ns = monotonic_ns() + kIntervalNs;
            auto status = ask();
            if (interrupted_) return kExitOk;
            if (status.ok()) {
                show(std::move(*status));
            } else if (screen_) {
                screen_->draw("bitnetctl: " + status.error().message + "\n");
            } else {
                std::fprintf(stderr, "bitnetctl: %s\n", status.error().message.c_str());
                return connected_ ? kExitFailed : kExitNoServer;
            }
        }
        return kExitOk;
    }

  private:
    Result<Json> ask() {
        connected_ = false;
        BITNETD_ASSIGN(ControlClient client, ControlClient::connect(control_));
        connected_ = true;
        BITNETD_ASSIGN(const WholeAnswer answer, ask_whole(client, message_, interrupts_));
        interrupted_ = answer.end.interrupted_by != 0;
        if (interrupted_) return Json::object();
        if (answer.end.failed) return invalid(answer.end.text);
        return parse_answer(answer.text);
    }

    void show(Json status) {
        const uint64_t now_ns = monotonic_ns();
        const double seconds =
            static_cast<double>(now_ns - before_ns_) / static_cast<double>(kNsPerS);
        if (command_.json) {
            std::fputs((dumped(status, -1) + "\n").c_str(), stdout);
        } else if (screen_) {
            screen_->draw(top_text(status, before_, seconds) + "\nq ends\n");
        } else {
            std::fputs((top_text(status, before_, seconds) + "\n").c_str(), stdout);
        }
        std::fflush(stdout);
        before_ = std::move(status);
        before_ns_ = now_ns;
    }

    // False: a signal or a key says that it is enough.
    bool wait_until(uint64_t then_ns) {
        while (true) {
            const uint64_t now_ns = monotonic_ns();
            if (now_ns >= then_ns) return true;
            pollfd ready[] = {{interrupts_.fd(), POLLIN, 0},
                              {screen_ ? STDIN_FILENO : -1, POLLIN, 0}};
            poll(ready, std::size(ready), static_cast<int>((then_ns - now_ns) / kNsPerMs) + 1);
            if (interrupts_.take()) return false;
            if (screen_ && screen_->pressed('q')) return false;
        }
    }

    const ServerCommand& command_;
    const std::string& control_;
    const shm::CommandMessage& message_;
    Interrupts& interrupts_;
    std::optional<TerminalScreen> screen_;
    Json before_ = Json::object();
    uint64_t before_ns_ = 0;
    bool connected_ = false;
    bool interrupted_ = false;
};

}  // namespace

int run_top(const ServerCommand& command, const std::string& control,
            const shm::CommandMessage& message, Interrupts& interrupts) {
    return Top(command, control, message, interrupts).run();
}

}  // namespace bitnetd::supervisor
