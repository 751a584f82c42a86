// A stand-in for systemd's end of the notify socket: takes messages with their descriptors. While
// it lives, NOTIFY_SOCKET names it.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/fd.h"

namespace bitnetd::supervisor {

// Sets a variable of this process for the length of a test.
class Environment {
  public:
    Environment(std::string name, const std::string& value) : name_(std::move(name)) {
        setenv(name_.c_str(), value.c_str(), 1);
    }
    ~Environment() { unsetenv(name_.c_str()); }
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;

  private:
    std::string name_;
};

struct Notification {
    std::string text;
    std::vector<Fd> fds;

    // The value of one of its assignments; "(none)" where there is none.
    std::string value(const std::string& key) const {
        const std::string all = "\n" + text + "\n";
        const size_t at = all.find("\n" + key + "=");
        if (at == all.npos) return "(none)";
        const size_t begin = at + key.size() + 2;
        return all.substr(begin, all.find('\n', begin) - begin);
    }
};

class NotifySocket {
  public:
    NotifySocket()
        : name_("@bitnetd-test-notify-" + std::to_string(getpid())),
          socket_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)),
          variable_("NOTIFY_SOCKET", name_) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path + 1, name_.data() + 1, name_.size() - 1);
        const auto length = static_cast<socklen_t>(sizeof address.sun_family + name_.size());
        EXPECT_EQ(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
    }

    // The next message; waits for it.
    Notification receive() {
        char text[4096];
        iovec part{text, sizeof text};
        alignas(cmsghdr) char control[CMSG_SPACE(253 * sizeof(int))];
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        const ssize_t got = recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
        Notification notification;
        if (got > 0) notification.text.assign(text, static_cast<size_t>(got));
        for (cmsghdr* it = CMSG_FIRSTHDR(&message); it != nullptr; it = CMSG_NXTHDR(&message, it)) {
            if (it->cmsg_level != SOL_SOCKET || it->cmsg_type != SCM_RIGHTS) continue;
            const size_t count = (it->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (size_t i = 0; i < count; ++i)
                notification.fds.emplace_back(load<int>(CMSG_DATA(it) + i * sizeof(int)));
        }
        return notification;
    }

    bool has_message() const {
        pollfd readable{socket_.get(), POLLIN, 0};
        return poll(&readable, 1, 0) == 1;
    }

  private:
    std::string name_;
    Fd socket_;
    Environment variable_;
};

}  // namespace bitnetd::supervisor
