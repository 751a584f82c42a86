// A stack of its own for each thread of an emulated block, and the switch between them: some
// nanoseconds, where ucontext would make a system call.
#pragma once

#include <cstddef>

namespace bitnetd::kernels::cuda_emulated {

class Fiber {
  public:
    // The caller's own stack: where the first switch comes from.
    Fiber() = default;
    // `colour` moves the top of the stack a little, or all stacks would share few lines of a cache.
    explicit Fiber(size_t colour);
    Fiber(Fiber&& other) noexcept;
    Fiber(const Fiber&) = delete;
    ~Fiber();

    // The next switch to it begins with entry(), which must never return.
    void restart(void (*entry)());
    // Leaves `from`, which is running, and goes on with `to`. `for_good`: `from` is restarted
    // before it runs again.
    static void go(Fiber& from, Fiber& to, bool for_good);
    // What entry() of this fiber calls first.
    void arrived();

  private:
    std::byte* memory_ = nullptr;  // with an unmapped page below, for those that need too much
    size_t colour_ = 0;
    void* top_ = nullptr;  // the stack pointer while it does not run
    // What AddressSanitizer knows of the stack.
    void* fake_stack_ = nullptr;
    const void* bottom_ = nullptr;
    size_t size_ = 0;
};

}  // namespace bitnetd::kernels::cuda_emulated
