#include "tests/support/cuda/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

// void bitnetd_switch_stack(void** save, void* load): keeps what a function must keep on the old
// stack, its pointer in *save, and takes the same from the new one.
extern "C" void bitnetd_switch_stack(void** save, void* load);
#if defined(__x86_64__)
asm(R"(
    .text
    .globl bitnetd_switch_stack
    .hidden bitnetd_switch_stack
    .type bitnetd_switch_stack, @function
bitnetd_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size bitnetd_switch_stack, . - bitnetd_switch_stack
)");
static constexpr size_t kSavedWords = 7;  // of registers, the last one is where it goes on
static constexpr size_t kReturnWord = 6;
static constexpr size_t kWordsAbove = 1;  // a function is entered 8 bytes off a multiple of 16
#elif defined(__aarch64__)
asm(R"(
    .text
    .globl bitnetd_switch_stack
    .hidden bitnetd_switch_stack
    .type bitnetd_switch_stack, %function
bitnetd_switch_stack:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .size bitnetd_switch_stack, . - bitnetd_switch_stack
)");
static constexpr size_t kSavedWords = 20;
static constexpr size_t kReturnWord = 11;
static constexpr size_t kWordsAbove = 0;
#else
#error "the CUDA emulation has no switch of stacks for this processor"
#endif

namespace bitnetd::kernels::cuda_emulated {
namespace {

constexpr size_t kPage = 4096;
#ifdef __SANITIZE_ADDRESS__
constexpr size_t kStack = 256 * 1024;
#else
constexpr size_t kStack = 64 * 1024;
#endif
constexpr size_t kColours = 32;
constexpr size_t kColourBytes = 192;

#ifdef __SANITIZE_ADDRESS__
thread_local Fiber* left = nullptr;
#endif

}  // namespace

Fiber::Fiber(size_t colour) : colour_(colour % kColours), size_(kStack) {
    void* memory = mmap(nullptr, kPage + kStack, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, kPage, PROT_NONE) != 0) {
        std::perror("emulated CUDA: no memory for the stack of a thread");
        std::abort();
    }
    memory_ = static_cast<std::byte*>(memory);
    bottom_ = memory_ + kPage;
}

Fiber::Fiber(Fiber&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      colour_(other.colour_),
      top_(other.top_),
      fake_stack_(other.fake_stack_),
      bottom_(other.bottom_),
      size_(other.size_) {}

Fiber::~Fiber() {
    if (memory_ != nullptr) munmap(memory_, kPage + kStack);
}

void Fiber::restart(void (*entry)()) {
    std::byte* top = memory_ + kPage + kStack - colour_ * kColourBytes;
    void* words[kSavedWords + kWordsAbove] = {};
    words[kReturnWord] = reinterpret_cast<void*>(entry);
    top_ = top - (sizeof words + 15) / 16 * 16;
    std::memcpy(top_, words, sizeof words);
    fake_stack_ = nullptr;
}

void Fiber::go(Fiber& from, Fiber& to, [[maybe_unused]] bool for_good) {
#ifdef __SANITIZE_ADDRESS__
    left = &from;
    __sanitizer_start_switch_fiber(for_good ? nullptr : &from.fake_stack_, to.bottom_, to.size_);
#endif
    bitnetd_switch_stack(&from.top_, to.top_);
    from.arrived();
}

void Fiber::arrived() {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake_stack_, &left->bottom_, &left->size_);
#endif
}

}  // namespace bitnetd::kernels::cuda_emulated
