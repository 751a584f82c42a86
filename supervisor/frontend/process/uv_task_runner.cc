#include "supervisor/frontend/process/uv_task_runner.h"

#include <memory>
#include <utility>

#include "common/base/check.h"

namespace bitnetd::frontend {
namespace {

struct Task {
    uv_work_t request{};
    std::function<void()> work;
    std::function<void()> done;
};

void on_work(uv_work_t* request) noexcept {
    static_cast<Task*>(request->data)->work();
}

void on_done(uv_work_t* request, int) noexcept {
    const std::unique_ptr<Task> task(static_cast<Task*>(request->data));
    task->done();
}

}  // namespace

Result<void> UvTaskRunner::start_threads() {
    bool ran = false;
    run([] {}, [&ran] { ran = true; });  // the first task makes the whole pool
    uv_run(loop_, UV_RUN_DEFAULT);
    if (!ran) return Error{ErrorCode::kInternal, "libuv's thread pool did not start"};
    return {};
}

void UvTaskRunner::run(std::function<void()> work, std::function<void()> done) {
    auto task = std::make_unique<Task>();
    task->work = std::move(work);
    task->done = std::move(done);
    task->request.data = task.get();
    // Fails only without a work function.
    BITNETD_CHECK(uv_queue_work(loop_, &task->request, on_work, on_done) == 0);
    task.release();  // on_done owns it now
}

}  // namespace bitnetd::frontend
