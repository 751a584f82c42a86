// bitnetd-worker --device cpu:N [--model ID]: computes one model on its share of the cores. A child
// of bitnetd; descriptor 3 is its control socket, and everything it needs comes over it
// (shm/control/child_link.h): settings, weights (sealed, mapped read-only), KV arena, then
// frontends with their rings. It gets token ids and gives token ids; it opens nothing and knows no
// text.
//
// Order: take the setup in, choose kernels, start the compute threads, confine all of them, say
// READY, serve. What was allocated by then is all there will be.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "common/confine/confine.h"
#include "common/log/log.h"
#include "shm/control/child_link.h"
#include "shm/control/text_field.h"
#include "worker/kernels/dispatch.h"
#include "worker/kv/kv_arena.h"
#include "worker/loop/step_loop.h"
#include "worker/model/null_engine.h"
#include "worker/model/ternary_choice.h"
#include "worker/model/transformer_engine.h"
#include "worker/topology/cores.h"

namespace bitnetd::worker {
namespace {

// The supervisor sends the whole setup with the start.
constexpr uint64_t kSetupTimeoutMs = 60'000;

// What can go wrong before READY, and the code that tells the supervisor.
struct Failure {
    ExitCode code;
    Error error;
};

struct Setup {
    shm::Segment weights;
    KvArena arena;
    std::vector<shm::Message> later;  // frontends, for the loop
};

Result<Setup> take_setup(shm::ChildLink& link) {
    Setup setup;
    for (shm::Message& message : link.take_setup()) {
        if (message.type == shm::MessageType::kWeights) {
            BITNETD_TRY(message.expect_fds(1));
            const int fd = message.fds[0].get();
            BITNETD_TRY(shm::check_weights_sealed(fd));
            BITNETD_ASSIGN(setup.weights, shm::Segment::map_aligned(fd, shm::Access::kRead));
        } else if (message.type == shm::MessageType::kKvArena) {
            BITNETD_TRY(message.expect_fds(1));
            const int fd = message.fds[0].get();
            const bool gather = link.params().memory_huge_pages != "off";
            BITNETD_ASSIGN(setup.arena, KvArena::map(fd, gather));
        } else {
            setup.later.push_back(std::move(message));
        }
    }
    if (setup.weights.bytes() == 0) return invalid("kStart came before kWeights");
    if (setup.arena.bytes() == 0) return invalid("kStart came before kKvArena");
    return setup;
}

// Where the threads of a worker run, and so where its KV cache should lie.
Result<CoreShare> choose_cores(const Params& params, const NumaMachine& machine, uint32_t slot) {
    const auto models = std::max<size_t>(1, params.server_model.size());
    const auto workers = static_cast<int>(params.server_workers * models);
    BITNETD_ASSIGN(CoreShare share,
                   share_of_worker(machine, workers, static_cast<int>(slot) % workers));
    if (params.worker_threads != 0) {
        // More threads than cores share them; fewer leave some alone.
        std::vector<int> cores;
        for (uint64_t i = 0; i < params.worker_threads; ++i) {
            cores.push_back(share.cores[i % share.cores.size()]);
        }
        share.exclusive = share.exclusive && cores.size() <= share.cores.size();
        share.cores = std::move(cores);
    }
    return share;
}

Result<std::unique_ptr<ThreadPool>> make_pool(const Params& params, const CoreShare& share) {
    return ThreadPool::create(
        {.cores = share.cores,
         .pin = params.worker_pin == 1 && share.exclusive,
         .spin_us = share.exclusive ? static_cast<uint32_t>(params.worker_spin_us) : 0});
}

SpeculationSettings speculation_of(const Params& params) {
    SpeculationSettings settings;
    settings.draft_tokens_max = static_cast<uint32_t>(params.speculation_draft_tokens_max);
    if (params.speculation_mode == "on") settings.mode = SpeculationMode::kOn;
    // Made-up tokens come at the rate that null_step_us says.
    const bool is_auto = params.speculation_mode == "auto" && params.worker_null_model == 0;
    if (is_auto) settings.mode = SpeculationMode::kAuto;
    return settings;
}

// SIGTERM, from an operator or because the supervisor died (lifecycle/spawn.h): finish what is
// there.
std::atomic<StepLoop*> g_draining_loop{nullptr};

void drain_on_sigterm(StepLoop* loop) {
    g_draining_loop.store(loop);
    std::signal(SIGTERM, [](int) { g_draining_loop.load()->ask_to_drain(); });
}

// All that a worker consists of, in the order it is built and destroyed backwards.
class CpuWorker {
  public:
    explicit CpuWorker(shm::ChildLink& link) : link_(link), params_(link.params()) {}

    std::optional<Failure> start() {
        const uint64_t begun_ns = monotonic_ns();
        auto setup = take_setup(link_);
        if (!setup.ok()) return Failure{kExitProtocol, std::move(setup).error()};
        setup_ = std::move(*setup);
        const auto block_inputs =
            params_.worker_block_inputs == "float" ? BlockInputs::kFloat : BlockInputs::kInt8;
        const auto bf16_inputs =
            params_.worker_bf16_inputs == "bf16" ? Bf16Inputs::kBf16 : Bf16Inputs::kFloat;
        auto weights = open_weights(setup_.weights.view(), block_inputs, bf16_inputs);
        if (!weights.ok()) return Failure{kExitProtocol, std::move(weights).error()};
        weights_ = std::move(*weights);
        kernels_ = &kernels::select(params_.worker_kernel_isa);
        if (auto fits = check_table(weights_, *kernels_); !fits.ok()) {
            return Failure{kExitProtocol, std::move(fits).error()};
        }
        if (auto placed = place(); !placed.ok()) {
            return Failure{kExitInternal, std::move(placed).error()};
        }
        const uint64_t huge = shm::map_huge_now(setup_.weights);
        if (auto confined = confine(Profile::kWorker); !confined.ok()) {
            return Failure{kExitInternal, std::move(confined).error()};
        }
        if (auto built = build(); !built.ok()) {
            return Failure{kExitNoMemory, std::move(built).error()};
        }
        if (auto said = say_ready(); !said.ok()) {
            return Failure{kExitLostSupervisor, std::move(said).error()};
        }
        log::info("worker_ready", {{"worker", link_.slot()},
                                   {"incarnation", link_.incarnation()},
                                   {"kernel_isa", kernels_->name},
                                   {"ternary_ways", ternary_ways()},
                                   {"null_model", params_.worker_null_model == 1},
                                   {"threads", pool_->threads()},
                                   {"pinned", pool_->pinned()},
                                   {"numa_nodes", numa_nodes_},
                                   {"slots", params_.worker_slots_max},
                                   {"context", context_max_},
                                   {"kv_pages", cache_->pages().pages_total()},
                                   {"kv_huge_pages", setup_.arena.huge_pages()},
                                   {"weights_bytes", setup_.weights.bytes()},
                                   {"weights_huge_bytes", huge},
                                   {"start_ms", (monotonic_ns() - begun_ns) / kNsPerMs}});
        return std::nullopt;
    }

    ExitCode run() {
        drain_on_sigterm(&*loop_);
        for (shm::Message& message : setup_.later)
            loop_->on_message(std::move(message));
        return loop_->run();
    }

  private:
    // Threads on cores, and the KV cache in the memory near them.
    Result<void> place() {
        const NumaMachine machine = NumaMachine::look();
        BITNETD_ASSIGN(const CoreShare share, choose_cores(params_, machine, link_.slot()));
        numa_nodes_ = share.nodes.size();
        if (!machine.bind(setup_.arena.memory(), share.nodes)) {
            log::warn("numa_not_bound", {{"worker", link_.slot()}, {"nodes", numa_nodes_}});
        }
        BITNETD_ASSIGN(pool_, make_pool(params_, share));
        return {};
    }

    std::string ternary_ways() const {
        return TernaryChoice(*kernels_, weights_.header.tuning).text();
    }

    // Cache, engine and loop: their memory follows from the settings and the model.
    Result<void> build() {
        const shm::WeightsHeader& model = weights_.header;
        layout_.emplace(KvShape{.layers = model.layers,
                                .kv_heads = model.kv_heads,
                                .head_dim = model.head_dim,
                                .type = kv_type_of(params_.kv_type)});
        const uint64_t in_arena = setup_.arena.bytes() / layout_->page_bytes() * kPageTokens;
        context_max_ = static_cast<uint32_t>(std::min<uint64_t>(model.context, in_arena));
        if (params_.kv_context_max != 0) {
            context_max_ =
                static_cast<uint32_t>(std::min<uint64_t>(context_max_, params_.kv_context_max));
        }
        if (context_max_ < 2) {
            return Error{ErrorCode::kExhausted,
                         "the KV arena of " + std::to_string(setup_.arena.bytes()) +
                             " bytes holds no page of " + std::to_string(layout_->page_bytes())};
        }
        const auto slots = static_cast<uint32_t>(params_.worker_slots_max);
        const auto step_tokens = static_cast<uint32_t>(params_.worker_step_tokens_max);
        cache_.emplace(*layout_, setup_.arena.memory(), slots, context_max_,
                       [this](uint64_t end) { setup_.arena.grow(end); });
        if (params_.worker_null_model == 1) {
            engine_ = std::make_unique<NullEngine>(model.vocab, model.hidden, weights_.end_ids(),
                                                   params_.worker_null_step_us);
        } else {
            engine_ = std::make_unique<TransformerEngine>(weights_, *kernels_, *pool_, *layout_,
                                                          step_tokens);
        }
        const auto ends = weights_.end_ids();
        loop_.emplace(
            StepLoop::Settings{.vocab = model.vocab,
                               .hidden = model.hidden,
                               .pooling = model.pooling,
                               .context_max = context_max_,
                               .slots_max = slots,
                               .step_tokens_max = step_tokens,
                               .end_ids = {ends.begin(), ends.end()},
                               .heartbeat_interval_ms = params_.server_heartbeat_interval_ms,
                               .drain_timeout_ms = params_.server_drain_timeout_ms,
                               .orphan_timeout_ms = params_.server_orphan_timeout_ms,
                               .speculation = speculation_of(params_)},
            StepLoop::Parts{*engine_, *cache_, link_.board(), link_.doorbell(), link_.channel()});
        return {};
    }

    Result<void> say_ready() {
        shm::ReadyMessage ready{};
        ready.slots_max = static_cast<uint32_t>(params_.worker_slots_max);
        shm::set_field(ready.kernel_isa, kernels_->name);
        return link_.send_ready(ready);
    }

    shm::ChildLink& link_;
    const Params& params_;
    Setup setup_;
    WeightsView weights_;
    const kernels::KernelTable* kernels_ = nullptr;
    std::unique_ptr<ThreadPool> pool_;
    size_t numa_nodes_ = 1;
    uint32_t context_max_ = 0;
    std::optional<KvLayout> layout_;
    std::optional<KvCache> cache_;
    std::unique_ptr<Engine> engine_;
    std::optional<StepLoop> loop_;
};

void start_log(const Params& params, uint32_t slot) {
    log::Level level{};
    log::Format format{};
    if (log::parse_level(params.log_level, level) && log::parse_format(params.log_format, format)) {
        log::init("worker/" + std::to_string(slot), level, format);
    }
}

int serve() {
    auto link = shm::ChildLink::start(shm::Role::kWorker, kSetupTimeoutMs);
    if (!link.ok()) {
        log::error("worker_start_failed", {{"reason", link.error().message}});
        return link.error().code == ErrorCode::kUnavailable ? kExitLostSupervisor : kExitProtocol;
    }
    start_log(link->params(), link->slot());
    CpuWorker worker(*link);
    if (auto failure = worker.start()) {
        log::error("worker_start_failed", {{"reason", failure->error.message}});
        return failure->code;
    }
    const ExitCode code = worker.run();
    log::info("worker_ended", {{"exit_code", static_cast<int>(code)}});
    return code;
}

}  // namespace
}  // namespace bitnetd::worker

// --model is there for people who look at a process list; what to compute comes over descriptor 3.
int main(int argc, char** argv) {
    bool has_device = false;
    bool is_wrong = argc % 2 == 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        if (name == "--device") {
            has_device = std::string_view(argv[i + 1]).starts_with("cpu:");
        } else if (name != "--model") {
            is_wrong = true;
        }
    }
    if (is_wrong || !has_device) {
        std::fprintf(stderr, "usage: %s --device cpu:N [--model ID]   (started by bitnetd)\n",
                     argv[0]);
        return bitnetd::kExitUsage;
    }
    try {
        return bitnetd::worker::serve();
    } catch (const std::bad_alloc&) {
        bitnetd::log::error("worker_out_of_memory");
        return bitnetd::kExitNoMemory;
    } catch (const std::exception& failure) {
        bitnetd::log::error("worker_failed", {{"reason", failure.what()}});
        return bitnetd::kExitInternal;
    }
}
