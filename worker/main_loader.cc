// bitnetd-loader: reads one model, validates it, packs it and seals what others map. A child of
// bitnetd that lives for one load. Descriptor 3 is its control socket; everything else comes over
// it:
//   <- kSettings (the log's and the model's are used here), then
//   <- kModelFile for each file of the model (ModelFileMessage; fds: the file), then
//   <- kLoad (LoadMessage; fds: weights memfd, vocabulary memfd)
//   -> kLoadProgress ...
//   -> kLoaded (ModelFacts), or kLoadFailed (why); then it exits with a code of exit_codes.h.
// bitnetctl starts one for a task: kTask comes in kLoad's place (worker/tasks/task.h).
// It parses untrusted files, so it confines itself before the first message: no other file, no
// socket, no program (common/confine).
#include <poll.h>

#include <exception>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "common/config/params.h"
#include "common/confine/confine.h"
#include "common/log/log.h"
#include "common/quant/accuracy_minima.h"
#include "common/quant/ternary_matrix.h"
#include "shm/control/channel.h"
#include "shm/control/child_link.h"
#include "shm/control/text_field.h"
#include "worker/prepare/load_segments.h"
#include "worker/tasks/task.h"
#include "worker/topology/cores.h"
#include "worker/topology/thread_pool.h"

namespace bitnetd::worker {
namespace {

// The supervisor sends both messages with the start and reads at once; anything longer means it is
// stuck.
constexpr uint64_t kMessageWaitNs = 60 * kNsPerS;
constexpr uint64_t kFlushWaitNs = 60 * kNsPerS;

int exit_code_of(const Error& error) {
    switch (error.code) {
        case ErrorCode::kInvalid:
        case ErrorCode::kUnsupported:
        case ErrorCode::kNotFound:
            return kExitModelRefused;
        case ErrorCode::kExhausted:
            return kExitNoMemory;
        default:
            return kExitInternal;
    }
}

// The outcome must leave the process before it exits.
Result<void> flush_all(shm::Channel& channel) {
    const uint64_t deadline_ns = monotonic_ns() + kFlushWaitNs;
    while (channel.wants_write()) {
        if (monotonic_ns() > deadline_ns) {
            return Error{ErrorCode::kUnavailable, "the supervisor does not read"};
        }
        pollfd wait{channel.fd(), POLLOUT, 0};
        poll(&wait, 1, static_cast<int>(kNsPerS / kNsPerMs));
        BITNETD_TRY(channel.flush());
    }
    return {};
}

void apply(const Params& settings) {
    log::Level level{};
    log::Format format{};
    const bool known = log::parse_level(settings.log_level, level) &&
                       log::parse_format(settings.log_format, format);
    if (known) log::init("loader", level, format);
}

// What the supervisor sent: settings, files, and what to do with them.
struct Order {
    PrepareOptions options;
    std::vector<NamedSource> files;
    shm::Message message;  // kLoad with its two descriptors, or kTask
};

Result<shm::Message> next_message(shm::Channel& channel) {
    return channel.wait(monotonic_ns() + kMessageWaitNs);
}

Error out_of_turn(const shm::Message& message, shm::MessageType expected) {
    return invalid("message type " + std::to_string(static_cast<unsigned>(message.type)) +
                   " where " + std::to_string(static_cast<unsigned>(expected)) + " was expected");
}

Result<PrepareOptions> options_of(const Params& params) {
    PrepareOptions out;
    BITNETD_ASSIGN(out.layout.i2s_layout, quant::parse_i2s_layout(params.model_i2s_layout));
    BITNETD_ASSIGN(out.layout.tl_tiles, quant::parse_tiles(params.model_tl_tiles));
    BITNETD_ASSIGN(out.overrides, parse_overrides(params.model_activation, params.model_pooling,
                                                  params.model_output_screen));
    BITNETD_ASSIGN(out.accuracy.minima, quant::AccuracyMinima::parse(params.model_accuracy_min));
    out.accuracy.kernel_isa = params.worker_kernel_isa;
    out.huge_pages = params.memory_huge_pages != "off";
    if (params.worker_block_inputs == "float") out.accuracy.block_inputs = BlockInputs::kFloat;
    if (params.worker_bf16_inputs == "bf16") out.accuracy.bf16_inputs = Bf16Inputs::kBf16;
    return out;
}

Result<NamedSource> take_file(shm::Message& message) {
    BITNETD_TRY(message.expect_fds(1));
    BITNETD_ASSIGN(const auto file, message.as<shm::ModelFileMessage>());
    NamedSource out;
    out.name = shm::field_text(file.name);
    BITNETD_ASSIGN(out.source, own_file(std::move(message.fds.front())));
    return out;
}

// Everything up to and including kLoad or kTask.
Result<Order> receive_order(shm::Channel& channel) {
    BITNETD_ASSIGN(const auto settings, next_message(channel));
    if (settings.type != shm::MessageType::kSettings) {
        return out_of_turn(settings, shm::MessageType::kSettings);
    }
    BITNETD_ASSIGN(const Params params, parse_settings(settings.text()));
    apply(params);
    Order order;
    BITNETD_ASSIGN(order.options, options_of(params));
    while (true) {
        BITNETD_ASSIGN(order.message, next_message(channel));
        if (order.message.type != shm::MessageType::kModelFile) break;
        if (order.files.size() == shm::kModelFilesMax) return invalid("too many model files");
        BITNETD_ASSIGN(NamedSource file, take_file(order.message));
        order.files.push_back(std::move(file));
    }
    if (order.message.type == shm::MessageType::kTask) return order;
    if (order.message.type != shm::MessageType::kLoad) {
        return out_of_turn(order.message, shm::MessageType::kLoad);
    }
    BITNETD_TRY(order.message.expect_fds(2));
    BITNETD_ASSIGN(const auto load, order.message.as<shm::LoadMessage>());
    if (load.file_count == order.files.size()) return order;
    return invalid("kLoad speaks of " + std::to_string(load.file_count) + " files, " +
                   std::to_string(order.files.size()) + " came");
}

// Threads inherit the confinement and the scheduling class of the process: made after confine(),
// they are under all of it (Landlock is not extended to threads that exist).
Result<std::unique_ptr<ThreadPool>> make_pool(int threads) {
    return ThreadPool::create(
        {.cores = std::vector<int>(static_cast<size_t>(threads)), .pin = false, .spin_us = 0});
}

Result<shm::ModelFacts> load(shm::Channel& channel, Order order, int threads) {
    BITNETD_ASSIGN(const auto pool, make_pool(threads));
    const auto progress = [&channel](std::string_view phase, uint32_t percent) {
        shm::LoadProgressMessage out{};
        out.percent = percent;
        shm::set_field(out.phase, phase);
        // A supervisor that is gone is noticed with the outcome, and by PDEATHSIG.
        static_cast<void>(channel.send(shm::MessageType::kLoadProgress, out));
    };
    const auto& fds = order.message.fds;
    return load_segments(std::move(order.files), order.options, fds[0].get(), fds[1].get(),
                         pool.get(), progress);
}

int report(shm::Channel& channel, const Result<shm::ModelFacts>& facts) {
    Result<void> sent = facts.ok()
                            ? channel.send(shm::MessageType::kLoaded, *facts)
                            : send_reason(channel, shm::MessageType::kLoadFailed, facts.error());
    if (sent.ok()) sent = flush_all(channel);
    if (!sent.ok()) {
        log::error("report_failed", {{"error", sent.error().message}});
        return kExitLostSupervisor;
    }
    return facts.ok() ? kExitOk : exit_code_of(facts.error());  // the supervisor logs the refusal
}

// bitnetctl prints the outcome.
int do_task(shm::Channel& channel, Order order) {
    const auto done = serve_task(channel, order.message, std::move(order.files), order.options);
    if (const auto sent = flush_all(channel); !sent.ok()) return kExitLostSupervisor;
    return done.ok() ? kExitOk : exit_code_of(done.error());
}

// How many threads to use. Reads /proc and /sys, which confine() takes away. All workers map the
// one copy of the weights, so that it is spread over the memory of all their nodes.
int take_place() {
    const NumaMachine machine = NumaMachine::look();
    const auto share = share_of_worker(machine, 1, 0);
    if (!share.ok()) return 1;
    machine.bind_thread(share->nodes);  // else the weights lie where the loader ran
    return static_cast<int>(share->cores.size());
}

int run() {
    close_fds_from(shm::kControlFd + 1);
    const int threads = take_place();
    if (const auto confined = confine(Profile::kLoader); !confined.ok()) {
        log::error("confine_failed", {{"error", confined.error().message}});
        return kExitInternal;
    }
    shm::Channel channel{Fd(shm::kControlFd)};
    auto order = receive_order(channel);
    if (!order.ok()) {
        log::error("no_order", {{"error", order.error().message},
                                {"hint", "bitnetd-loader is started by bitnetd"}});
        return channel.closed() ? kExitLostSupervisor : kExitProtocol;
    }
    if (order->message.type == shm::MessageType::kTask) {
        return do_task(channel, std::move(*order));
    }
    return report(channel, load(channel, std::move(*order), threads));
}

}  // namespace
}  // namespace bitnetd::worker

int main() {
    bitnetd::log::init("loader", bitnetd::log::Level::kInfo, bitnetd::log::Format::kAuto);
    try {
        return bitnetd::worker::run();
    } catch (const std::bad_alloc&) {
        bitnetd::log::error("no_memory");
        return bitnetd::kExitNoMemory;
    } catch (const std::exception& exception) {
        bitnetd::log::error("exception", {{"what", exception.what()}});
        return bitnetd::kExitInternal;
    }
}
