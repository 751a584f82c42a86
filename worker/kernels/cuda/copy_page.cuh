// A KV page copied within the device. 2 bytes moved for one: bound by memory. Not measured on a
// device yet.
//   from, to  16-byte aligned, as pages are; any number of bytes
#pragma once

#include "worker/kernels/cuda/device_ops.cuh"

namespace bitnetd::kernels::cuda {
namespace {

inline constexpr int32_t kCopyThreads = 256;

BITNETD_KERNEL(kCopyThreads)
void copy_page_kernel(const std::byte* from, std::byte* to, int64_t bytes) {
    wait_for_earlier_launches();
    constexpr int64_t kStep = sizeof(Words);
    const int64_t at = (int64_t{block_x()} * kCopyThreads + thread_index()) * kStep;
    if (at + kStep <= bytes) {
        *reinterpret_cast<Words*>(to + at) = *reinterpret_cast<const Words*>(from + at);
    } else {
        for (int64_t i = at; i < bytes; ++i)
            to[i] = from[i];
    }
}

void copy_page(Stream stream, const std::byte* from, std::byte* to, int64_t bytes) noexcept {
    constexpr int64_t kBlockBytes = kCopyThreads * static_cast<int64_t>(sizeof(Words));
    launch(stream, {static_cast<uint32_t>(divided_up(bytes, kBlockBytes))}, kCopyThreads, 0,
           copy_page_kernel, from, to, bytes);
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
