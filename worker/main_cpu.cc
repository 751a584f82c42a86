// bitnetd-worker --device cpu:0 [--model ID]: computes one model on its share of the cores. A child
// of bitnetd; descriptor 3 is its control socket, and everything it needs comes over it
// (shm/control/child_link.h): which share, settings, weights (sealed, mapped read-only), KV arena,
// then frontends with their rings. It gets token ids and gives token ids; it opens nothing and
// knows no text.
//
// Order: take the setup in, choose kernels, start the compute threads, confine all of them, say
// READY, serve. What was allocated by then is all there will be.
#include <memory>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "common/confine/confine.h"
#include "common/log/log.h"
#include "shm/control/child_link.h"
#include "worker/kernels/dispatch.h"
#include "worker/kv/kv_arena.h"
#include "worker/loop/step_loop.h"
#include "worker/model/null_engine.h"
#include "worker/model/ternary_choice.h"
#include "worker/model/transformer_engine.h"
#include "worker/process/worker_process.h"
#include "worker/process/worker_setup.h"
#include "worker/topology/cores.h"

namespace bitnetd::worker {
namespace {

// Where the threads of a worker run, and so where its KV cache should lie.
Result<CoreShare> choose_cores(const Params& params, const NumaMachine& machine,
                               const shm::SelfMessage& self) {
    BITNETD_ASSIGN(CoreShare share, share_of_worker(machine, static_cast<int>(self.core_shares),
                                                    static_cast<int>(self.core_share)));
    share.exclusive = share.exclusive && self.cores_are_shared == 0;
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

// All that a worker consists of, in the order it is built and destroyed backwards.
class CpuWorker final : public Worker {
  public:
    explicit CpuWorker(shm::ChildLink& link) : link_(link), params_(link.params()) {}

    std::optional<Failure> start() override {
        const uint64_t begun_ns = monotonic_ns();
        if (auto taken = take_in(); !taken.ok()) return failure_of(std::move(taken).error());
        kernels_ = &kernels::select(params_.worker_kernel_isa);
        if (auto fits = check_table(weights_, *kernels_); !fits.ok()) {
            return failure_of(std::move(fits).error());
        }
        if (auto placed = place(); !placed.ok()) {
            return Failure{kExitInternal, std::move(placed).error()};
        }
        const uint64_t huge = shm::map_huge_now(setup_.weights);
        if (auto confined = confine(Profile::kWorker); !confined.ok()) {
            return Failure{kExitInternal, std::move(confined).error()};
        }
        if (auto built = build(); !built.ok()) return failure_of(std::move(built).error());
        if (auto said = say_ready(link_, kernels_->name); !said.ok()) {
            return Failure{kExitLostSupervisor, std::move(said).error()};
        }
        log::info("worker_ready", {{"worker", link_.slot()},
                                   {"incarnation", link_.incarnation()},
                                   {"kernel_isa", kernels_->name},
                                   {"ternary_ways", ternary_ways()},
                                   {"null_model", params_.worker_null_model == 1},
                                   {"threads", pool_->threads()},
                                   {"pinned", pool_->pinned()},
                                   {"core_share", link_.self().core_share},
                                   {"core_shares", link_.self().core_shares},
                                   {"numa_nodes", numa_nodes_},
                                   {"slots", params_.worker_slots_max},
                                   {"context", context_max_},
                                   {"kv_pages", cache_->pages().pages_total()},
                                   {"kv_huge_pages", arena_.huge_pages()},
                                   {"weights_bytes", setup_.weights.bytes()},
                                   {"weights_huge_bytes", huge},
                                   {"start_ms", (monotonic_ns() - begun_ns) / kNsPerMs}});
        return std::nullopt;
    }

    ExitCode run() override { return run_loop(*loop_, std::move(setup_.later)); }

  private:
    static Failure failure_of(Error error) {
        const ExitCode code = exit_code_of(error, kExitInternal);
        return {code, std::move(error)};
    }

    Result<void> take_in() {
        BITNETD_ASSIGN(setup_, take_setup(link_));
        if (!setup_.arena) return invalid("kStart came before kKvArena");
        BITNETD_ASSIGN(arena_,
                       KvArena::map(setup_.arena.get(), params_.memory_huge_pages != "off"));
        setup_.arena = {};
        BITNETD_ASSIGN(weights_, open_weights_for(params_, setup_.weights));
        return {};
    }

    // Threads on cores, and the KV cache in the memory near them.
    Result<void> place() {
        const NumaMachine machine = NumaMachine::look();
        BITNETD_ASSIGN(const CoreShare share, choose_cores(params_, machine, link_.self()));
        numa_nodes_ = share.nodes.size();
        if (!machine.bind(arena_.memory(), share.nodes)) {
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
        const uint64_t pages = arena_.bytes() / layout_->page_bytes();
        context_max_ = context_max_of(params_, model.context, pages * kPageTokens);
        if (context_max_ < 2) {
            return Error{ErrorCode::kExhausted,
                         "the KV arena of " + std::to_string(arena_.bytes()) +
                             " bytes holds no page of " + std::to_string(layout_->page_bytes())};
        }
        const auto slots = static_cast<uint32_t>(params_.worker_slots_max);
        const auto step_tokens = static_cast<uint32_t>(params_.worker_step_tokens_max);
        cache_.emplace(*layout_, arena_.memory(), slots, context_max_,
                       [this](uint64_t end) { arena_.grow(end); });
        if (params_.worker_null_model == 1) {
            engine_ = std::make_unique<NullEngine>(model.vocab, model.hidden, weights_.end_ids(),
                                                   params_.worker_null_step_us);
        } else {
            engine_ = std::make_unique<TransformerEngine>(weights_, *kernels_, *pool_, *layout_,
                                                          step_tokens);
        }
        loop_.emplace(
            loop_settings(params_, weights_, context_max_),
            StepLoop::Parts{*engine_, *cache_, link_.board(), link_.doorbell(), link_.channel()});
        return {};
    }

    shm::ChildLink& link_;
    const Params& params_;
    WorkerSetup setup_;
    KvArena arena_;
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

std::unique_ptr<Worker> make_worker(shm::ChildLink& link, uint32_t) {
    return std::make_unique<CpuWorker>(link);
}

}  // namespace
}  // namespace bitnetd::worker

int main(int argc, char** argv) {
    return bitnetd::worker::worker_main(argc, argv, "cpu", bitnetd::worker::make_worker);
}
