#include "worker/topology/parallel_for.h"

#include <atomic>
#include <exception>
#include <mutex>
#include <utility>

namespace bitnetd::worker {
namespace {

class Run {
  public:
    Run(size_t count, const std::function<Result<void>(size_t)>& f) : count_(count), f_(f) {}

    // Of one thread. A number that was given out is finished, so that a lower one's error is never
    // missed.
    void work() noexcept {
        while (!failed_.load(std::memory_order_relaxed)) {
            const size_t index = next_.fetch_add(1, std::memory_order_relaxed);
            if (index >= count_) return;
            try {
                auto done = f_(index);
                if (!done.ok()) note(index, std::move(done), nullptr);
            } catch (...) {
                note(index, {}, std::current_exception());
            }
        }
    }

    Result<void> outcome() {
        if (exception_) std::rethrow_exception(exception_);
        return std::move(result_);
    }

  private:
    void note(size_t index, Result<void> result, std::exception_ptr exception) noexcept {
        const std::lock_guard lock(mutex_);
        const bool is_first = !failed_.exchange(true, std::memory_order_relaxed);
        if (!is_first && index > failed_index_) return;
        failed_index_ = index;
        result_ = std::move(result);
        exception_ = std::move(exception);
    }

    const size_t count_;
    const std::function<Result<void>(size_t)>& f_;
    std::atomic<size_t> next_{0};
    std::atomic<bool> failed_{false};
    std::mutex mutex_;  // for what follows
    size_t failed_index_ = 0;
    Result<void> result_;
    std::exception_ptr exception_;
};

}  // namespace

Result<void> parallel_for(ThreadPool* pool, size_t count,
                          const std::function<Result<void>(size_t index)>& f) {
    Run run(count, f);
    if (pool != nullptr && count > 1) {
        pool->run([&](int) { run.work(); });
    } else {
        run.work();
    }
    return run.outcome();
}

}  // namespace bitnetd::worker
