#include "worker/topology/thread_pool.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstdio>

#include "common/base/check.h"
#include "common/base/clock.h"

namespace bitnetd::worker {
namespace {

constexpr int kPausesPerLook = 32;  // about a microsecond between looks at the clock

static_assert(sizeof(std::atomic<uint32_t>) == 4 && std::atomic<uint32_t>::is_always_lock_free);

// Sleeps while `word` is `value`. May return early; the caller looks again.
void futex_wait(std::atomic<uint32_t>& word, uint32_t value) noexcept {
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void futex_wake_all(std::atomic<uint32_t>& word) noexcept {
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

void pause() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb");
#endif
}

// Looks at `ready` for at most spin_ns. True as soon as it is.
template <typename Ready>
bool spin(uint64_t spin_ns, Ready ready) noexcept {
    if (ready()) return true;
    if (spin_ns == 0) return false;
    const uint64_t deadline = monotonic_ns() + spin_ns;
    do {
        for (int i = 0; i < kPausesPerLook; ++i) {
            if (ready()) return true;
            pause();
        }
    } while (monotonic_ns() < deadline);
    return ready();
}

}  // namespace

Result<std::unique_ptr<ThreadPool>> ThreadPool::create(const Options& options) {
    if (options.cores.empty()) return invalid("a thread pool needs at least one core");
    std::unique_ptr<ThreadPool> pool(new ThreadPool(options));
    pool->owner_ = pthread_self();
    if (sched_getaffinity(0, sizeof(cpu_set_t), &pool->owner_affinity_) != 0) {
        CPU_ZERO(&pool->owner_affinity_);  // more cores than the mask holds
    }
    pool->pin(options.cores[0]);
    pool->workers_.reserve(options.cores.size() - 1);  // threads hold pointers into it

    // Signals are thread 0's business: the others inherit a full mask.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = 0;
    for (size_t i = 1; i < options.cores.size() && failed == 0; ++i) {
        pool->workers_.push_back({pool.get(), static_cast<int>(i), options.cores[i], {}});
        Worker& worker = pool->workers_.back();
        failed = pthread_create(&worker.thread, nullptr, thread_main, &worker);
        if (failed != 0) pool->workers_.pop_back();
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (failed != 0) return io_error("start a compute thread", failed);
    pool->run([](int) {});  // every thread has named and pinned itself when this returns
    return pool;
}

ThreadPool::~ThreadPool() {
    start({nullptr, nullptr});
    for (Worker& worker : workers_)
        pthread_join(worker.thread, nullptr);
    if (pin_ && CPU_COUNT(&owner_affinity_) > 0) {
        sched_setaffinity(0, sizeof owner_affinity_, &owner_affinity_);
    }
}

void ThreadPool::pin(int core) noexcept {
    if (!pin_ || core < 0 || core >= CPU_SETSIZE) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(core), &set);
    if (sched_setaffinity(0, sizeof set, &set) == 0)
        pinned_.fetch_add(1, std::memory_order_relaxed);
}

void* ThreadPool::thread_main(void* argument) noexcept {
    const Worker& worker = *static_cast<const Worker*>(argument);
    char name[16];
    std::snprintf(name, sizeof name, "compute-%d", worker.index);
    pthread_setname_np(pthread_self(), name);
    worker.pool->pin(worker.core);
    worker.pool->work(worker);
    return nullptr;
}

void ThreadPool::work(const Worker& worker) noexcept {
    uint32_t seen = 0;
    while (true) {
        seen = wait_for_start(seen);
        const Job job = job_;
        if (job.function == nullptr) return;
        job.function(job.context, worker.index);
        // SYNC(pool.done): releases what the job wrote to thread 0. Sequentially consistent,
        // because either we see that thread 0 sleeps, or it sees our decrement before it does.
        if (running_.fetch_sub(1, std::memory_order_seq_cst) == 1 &&
            owner_sleeps_.load(std::memory_order_seq_cst) != 0) {
            futex_wake_all(running_);
        }
    }
}

// Returns the new epoch. SYNC(pool.start): acquires job_ and all that thread 0 wrote before
// start().
uint32_t ThreadPool::wait_for_start(uint32_t seen) noexcept {
    const auto started = [&] { return epoch_.load(std::memory_order_acquire) != seen; };
    if (!spin(spin_ns_, started)) {
        // Announced before the futex compares the word: either the compare sees the new epoch, or
        // start() sees a sleeper and wakes it.
        sleepers_.fetch_add(1, std::memory_order_seq_cst);
        while (!started())
            futex_wait(epoch_, seen);
        sleepers_.fetch_sub(1, std::memory_order_relaxed);
    }
    return seen + 1;  // thread 0 starts nothing new before all have finished
}

void ThreadPool::start(Job job) noexcept {
    job_ = job;
    running_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
    // SYNC(pool.start): releases job_ and running_ to the threads that see the new epoch.
    epoch_.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) != 0) futex_wake_all(epoch_);
}

// SYNC(pool.done): acquires what every job wrote; the decrements form one release sequence.
void ThreadPool::wait_for_done() noexcept {
    const auto done = [&] { return running_.load(std::memory_order_acquire) == 0; };
    if (spin(spin_ns_, done)) return;
    owner_sleeps_.store(1, std::memory_order_seq_cst);
    for (uint32_t left; (left = running_.load(std::memory_order_seq_cst)) != 0;) {
        futex_wait(running_, left);
    }
    owner_sleeps_.store(0, std::memory_order_relaxed);
}

void ThreadPool::run_job(Job job) noexcept {
    BITNETD_DCHECK(pthread_equal(pthread_self(), owner_));
    if (workers_.empty()) return job.function(job.context, 0);
    start(job);
    job.function(job.context, 0);
    wait_for_done();
}

}  // namespace bitnetd::worker
