// The compute threads of one CPU worker and the barrier between the phases of a step.
//
// worker/topology belongs to bitnetd-worker: how many threads, on which cores (cores.h), who does
// what (slice.h). Threads are made once, before READY; after that run() neither allocates nor makes
// a system call but the barrier's futex. If a thread dies the process dies.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "common/base/result.h"

namespace bitnetd::worker {

class ThreadPool {
  public:
    struct Options {
        std::vector<int> cores;  // one thread per entry; the creating thread is thread 0
        bool pin = true;         // bind each thread to its core (CoreShare::exclusive)
        uint32_t spin_us =
            20;  // how long a waiting thread spins before it sleeps; 0 on shared cores
    };

    // Pins the calling thread too; it becomes thread 0 and is the only one that may call run(). It
    // gets its affinity back when the pool is destroyed.
    static Result<std::unique_ptr<ThreadPool>> create(const Options& options);
    ~ThreadPool();  // by thread 0
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int threads() const noexcept { return static_cast<int>(workers_.size()) + 1; }
    // How many threads are bound to their core. Fewer than threads() when a core has gone or is not
    // allowed: everything works, slower; worth a line in the log.
    int pinned() const noexcept { return pinned_.load(std::memory_order_relaxed); }

    // Calls f(thread) once on each thread, 0..threads()-1, and returns when all have returned: what
    // they wrote is then visible here. f must not throw and must not call run().
    template <typename F>
    void run(F&& f) noexcept {
        using Function = std::remove_reference_t<F>;
        run_job(
            {[](void* context, int thread) noexcept { (*static_cast<Function*>(context))(thread); },
             const_cast<void*>(static_cast<const void*>(&f))});
    }

  private:
    struct Job {
        void (*function)(void* context, int thread) noexcept;  // null: the thread ends
        void* context;
    };
    struct Worker {
        ThreadPool* pool;
        int index;
        int core;
        pthread_t thread;
    };

    explicit ThreadPool(const Options& options)
        : pin_(options.pin), spin_ns_(options.spin_us * 1000ull) {}
    static void* thread_main(void* worker) noexcept;
    void work(const Worker& worker) noexcept;
    void run_job(Job job) noexcept;
    void start(Job job) noexcept;
    void pin(int core) noexcept;
    uint32_t wait_for_start(uint32_t seen) noexcept;
    void wait_for_done() noexcept;

    const bool pin_;
    const uint64_t spin_ns_;
    std::atomic<int> pinned_{0};
    std::vector<Worker> workers_;  // threads 1.. ; fixed size once threads run
    pthread_t owner_{};
    cpu_set_t owner_affinity_{};  // as it was before create(); empty when it could not be read

    // Written by thread 0 before each start, read by the others after it.
    alignas(64) Job job_{};
    std::atomic<uint32_t> epoch_{0};     // +1 at each start; the others sleep on it
    std::atomic<uint32_t> sleepers_{0};  // others that sleep or are about to
    // Written by the others as they finish.
    alignas(64) std::atomic<uint32_t> running_{
        0};  // others not finished yet; thread 0 sleeps on it
    std::atomic<uint32_t> owner_sleeps_{0};
};

}  // namespace bitnetd::worker
