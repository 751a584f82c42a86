// A child that was taken over: it says what it is not to say, and writes over its board. One life
// of it, all drawn from a seed; it ends by itself, in one of the ways that processes end. For
// fake_child.cc.
#pragma once

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "shm/abi/rollout_abi.h"
#include "shm/control/child_link.h"
#include "shm/control/text_field.h"

namespace bitnetd {

class HostileChild {
  public:
    HostileChild(shm::Channel& channel, uint64_t seed) : channel_(channel), random_(seed) {}

    // With `link`: a frontend or a worker, which may say that it is ready first. Without: a loader.
    [[noreturn]] void live(shm::ChildLink* link, bool is_frontend) {
        // The seed chooses: half of them keep the protocol long enough to be believed for a while.
        if (link != nullptr && draw(4) != 0) say_ready(*link);
        const uint64_t end_ns = monotonic_ns() + (20 + draw(150)) * kNsPerMs;
        const bool is_blunt = draw(2) == 0;
        while (monotonic_ns() < end_ns && !channel_.closed()) {
            if (link != nullptr) write_over(*link);
            hear(is_frontend);
            if (is_blunt && draw(4) == 0) {
                draw(2) == 0 ? send_anything() : send_raw();
            } else if (is_frontend) {
                send_order();
            } else if (link == nullptr) {
                send_about_loading();
            }
            usleep(static_cast<useconds_t>(draw(3'000)));
        }
        end();
    }

  private:
    uint64_t draw(uint64_t below) { return random_() % below; }

    // All zero, all ones, small numbers, nonsense; a text in it has no end.
    void fill(void* to, size_t bytes) {
        auto* out = static_cast<unsigned char*>(to);
        const uint64_t style = draw(4);
        for (size_t i = 0; i < bytes; ++i) {
            const uint64_t number = i % 4 == 0 ? draw(4) : 0;
            const uint64_t choices[] = {0, 0xff, number, random_()};
            out[i] = static_cast<unsigned char>(choices[style]);
        }
    }
    template <typename T>
    T filled() {
        T value;
        fill(&value, sizeof value);
        return value;
    }

    void say_ready(shm::ChildLink& link) {
        auto ready = filled<shm::ReadyMessage>();
        ready.slots_max = static_cast<uint32_t>(1 + draw(shm::kStepPlanMax));
        static_cast<void>(link.send_ready(ready));
    }

    // A word anywhere, or a stretch; the beginning, where it says whose board it is, is not spared.
    void write_over(shm::ChildLink& link) {
        const std::span<const std::byte> view = link.board_segment().view();
        auto* board = const_cast<std::byte*>(view.data());  // it is mapped for its writer
        for (uint64_t i = draw(8); i > 0; --i) {
            const size_t at = draw(draw(2) == 0 ? 1024 : view.size());
            fill(board + at, std::min<size_t>(view.size() - at, 1 + draw(2048)));
        }
        if (draw(2) == 0) {  // what rates and ages are computed from
            const uint64_t extremes[] = {0, 1, monotonic_ns(), monotonic_ns() + kNsPerS,
                                         std::numeric_limits<uint64_t>::max()};
            const uint64_t heartbeat = extremes[draw(5)];
            std::memcpy(board + offsetof(shm::Board, heartbeat_ns), &heartbeat, sizeof heartbeat);
        }
    }

    // Answers that fit what it was asked, and are lies.
    void hear(bool is_frontend) {
        for (int i = 0; i < 100; ++i) {
            auto message = channel_.receive();
            if (!message.ok() || !message->has_value()) return;
            if (!is_frontend) continue;
            if (const auto test = (*message)->as<shm::SelfTestMessage>();
                (*message)->type == shm::MessageType::kSelfTest && test.ok()) {
                auto done = filled<shm::SelfTestDoneMessage>();
                done.rollout = test->rollout;
                done.worker = test->worker;
                done.failed = draw(4) == 0 ? 1 : 0;
                static_cast<void>(channel_.send(shm::MessageType::kSelfTestDone, done));
            }
            if (const auto canary = (*message)->as<shm::CanaryMessage>();
                (*message)->type == shm::MessageType::kCanary && canary.ok()) {
                auto report = filled<shm::CanaryReportMessage>();
                report.rollout = canary->rollout;
                report.stage = canary->stage;
                if (draw(2) == 0) report.failed = report.different = 0;
                for (uint64_t n = draw(50); n > 0; --n)
                    static_cast<void>(channel_.send(shm::MessageType::kCanaryReport, report));
            }
            if (const auto standing = (*message)->as<shm::ModelStandingMessage>();
                (*message)->type == shm::MessageType::kModelStanding && standing.ok()) {
                static_cast<void>(channel_.send(shm::MessageType::kModelReleased,
                                                shm::ModelKeyMessage{standing->model_key}));
            }
        }
    }

    // The types and sizes are those of a frontend; nothing in them is.
    void send_order() {
        auto order = filled<shm::OrderMessage>();
        if (draw(2) == 0) shm::set_field(order.model, "demo");
        if (draw(2) == 0) order.kind = static_cast<shm::OrderKind>(1 + draw(3));
        // That a model leaves is a frontend's to order.
        if (order.kind == shm::OrderKind::kRemove) order.kind = shm::OrderKind::kSwap;
        if (draw(4) != 0) {
            static_cast<void>(channel_.send(shm::MessageType::kOrder, order));
        } else if (draw(2) == 0) {
            static_cast<void>(
                channel_.send(shm::MessageType::kCanaryReport, filled<shm::CanaryReportMessage>()));
        } else {
            static_cast<void>(
                channel_.send(shm::MessageType::kSelfTestDone, filled<shm::SelfTestDoneMessage>()));
        }
    }

    void send_about_loading() {
        auto progress = filled<shm::LoadProgressMessage>();
        progress.percent = static_cast<uint32_t>(draw(101));
        if (draw(8) != 0) {
            static_cast<void>(channel_.send(shm::MessageType::kLoadProgress, progress));
        } else if (draw(2) == 0) {
            static_cast<void>(channel_.send(shm::MessageType::kLoaded, filled<shm::ModelFacts>()));
        } else {
            std::vector<char> text(draw(shm::kControlPayloadMax));
            fill(text.data(), text.size());
            static_cast<void>(channel_.send_text(shm::MessageType::kLoadFailed,
                                                 std::string_view(text.data(), text.size())));
        }
    }

    std::vector<std::byte> some_bytes() {
        const size_t sizes[] = {0,
                                8,
                                sizeof(shm::ReadyMessage),
                                sizeof(shm::CanaryReportMessage),
                                sizeof(shm::OrderMessage),
                                sizeof(shm::ModelFacts),
                                static_cast<size_t>(draw(shm::kControlPayloadMax + 1))};
        std::vector<std::byte> bytes(sizes[draw(std::size(sizes))]);
        fill(bytes.data(), bytes.size());
        return bytes;
    }

    void send_anything() {
        const auto type = static_cast<shm::MessageType>(draw(2) == 0 ? draw(60) : 32 + draw(11));
        const Fd memory(memfd_create("hostile", MFD_CLOEXEC));
        const std::vector<int> fds(draw(2) == 0 ? 0 : 1 + draw(shm::kControlFdsMax), memory.get());
        static_cast<void>(channel_.send(type, some_bytes(), fds));
    }

    // A packet whose header lies, with descriptors: more than fit, or the socket itself.
    void send_raw() {
        std::vector<std::byte> packet = some_bytes();
        const shm::MessageHeader header{shm::kControlAbiVersion, shm::MessageType::kReady,
                                        static_cast<uint16_t>(draw(20)),
                                        static_cast<uint32_t>(draw(2) * random_()), 0};
        std::memcpy(packet.data(), &header, std::min(packet.size(), sizeof header));
        constexpr size_t kFds = 40;
        alignas(cmsghdr) char control[CMSG_SPACE(kFds * sizeof(int))] = {};
        iovec part{packet.data(), packet.size()};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        if (draw(2) == 0) {
            message.msg_control = control;
            message.msg_controllen = sizeof control;
            cmsghdr* rights = CMSG_FIRSTHDR(&message);
            rights->cmsg_level = SOL_SOCKET;
            rights->cmsg_type = SCM_RIGHTS;
            rights->cmsg_len = CMSG_LEN(kFds * sizeof(int));
            const std::vector<int> fds(kFds, channel_.fd());
            std::memcpy(CMSG_DATA(rights), fds.data(), kFds * sizeof(int));
        }
        sendmsg(channel_.fd(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    }

    [[noreturn]] void end() {
        switch (draw(6)) {
            case 0:
                std::abort();
            case 1:
                raise(SIGKILL);
                break;
            case 2:
                shutdown(channel_.fd(), SHUT_RDWR);  // and lives on, until it is killed
                pause();
                break;
            case 3:
                shutdown(channel_.fd(), SHUT_WR);
                pause();
                break;
            default:
                break;
        }
        _exit(static_cast<int>(draw(256)));
    }

    shm::Channel& channel_;
    std::mt19937_64 random_;
};

}  // namespace bitnetd
