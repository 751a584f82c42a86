#include "tests/support/devices/emulated_device.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "common/base/check.h"

namespace bitnetd::worker::test {
namespace {
constexpr std::align_val_t kAlignment{256};
constexpr uint64_t kFilledBytesMax = 16u << 20;  // more would take memory that may never be used
}  // namespace

void EmulatedDevice::Free::operator()(std::byte* memory) const {
    ::operator delete(memory, kAlignment);
}

// Its stream is captured all the time: what is put there stays until wait() runs it.
EmulatedDevice::EmulatedDevice(Faults faults)
    : faults_(std::move(faults)),
      facts_{.name = "Emulated GPU",
             .family = "emulated",
             .pci_id = "",
             .memory_bytes = faults_.memory_bytes} {
    stream_.begin_capture();
}

EmulatedDevice::~EmulatedDevice() = default;

EmulatedDevice::Block EmulatedDevice::make(uint64_t bytes) {
    auto* const memory = static_cast<std::byte*>(::operator new(bytes, kAlignment));
    std::memset(memory, 0xff, std::min(bytes, kFilledBytesMax));
    return {std::unique_ptr<std::byte, Free>(memory), bytes};
}

Result<std::byte*> EmulatedDevice::allocate(uint64_t bytes) {
    const uint64_t free = faults_.memory_bytes - allocated_bytes_;
    if (bytes > free) return out_of_device_memory("emulated allocate", bytes, free);
    allocated_bytes_ += bytes;
    return memory_.emplace_back(make(bytes)).memory.get();
}

Result<std::byte*> EmulatedDevice::allocate_host(uint64_t bytes) {
    return host_memory_.emplace_back(make(bytes)).memory.get();
}

void EmulatedDevice::give_back(const Mark& mark) noexcept {
    for (; memory_.size() > mark.memory; memory_.pop_back())
        allocated_bytes_ -= memory_.back().bytes;
    while (host_memory_.size() > mark.host_memory)
        host_memory_.pop_back();
    graphs_.resize(mark.graphs);
}

bool EmulatedDevice::is_mine(const void* at, uint64_t bytes) const {
    const auto begin = reinterpret_cast<uintptr_t>(at);
    for (const Block& block : memory_) {
        const auto base = reinterpret_cast<uintptr_t>(block.memory.get());
        if (begin >= base && begin + bytes <= base + block.bytes) return true;
    }
    return false;
}

void EmulatedDevice::upload(const void* from, void* to, uint64_t bytes) noexcept {
    BITNETD_CHECK(is_mine(to, bytes) && !is_mine(from, bytes));
    uploaded_bytes_ += bytes;
    stream_.put([=] { std::memcpy(to, from, bytes); });
}

void EmulatedDevice::download(const void* from, void* to, uint64_t bytes) noexcept {
    BITNETD_CHECK(is_mine(from, bytes) && !is_mine(to, bytes));
    stream_.put([=] { std::memcpy(to, from, bytes); });
}

void EmulatedDevice::take_in() {
    queue_.push_back(stream_.end_capture());
    stream_.begin_capture();
}

Result<Device::Graph> EmulatedDevice::capture(const std::function<void()>& work) {
    take_in();
    work();
    graphs_.push_back(std::make_shared<const kernels::cuda_emulated::Graph>(stream_.end_capture()));
    stream_.begin_capture();
    return static_cast<Graph>(graphs_.size() - 1);
}

void EmulatedDevice::launch(Graph graph) noexcept {
    stream_.put([work = graphs_.at(graph)] { work->run(); });
}

Result<void> EmulatedDevice::wait(uint64_t timeout_ns) {
    ++waits_;
    if (broken_) return *broken_;
    if (waits_ == faults_.hangs_at_wait || faults_.hangs()) return device_hangs(timeout_ns);
    if (waits_ == faults_.lost_at_wait || faults_.is_lost()) {
        broken_ = Error{ErrorCode::kUnavailable, "emulated launch: the device is lost"};
        return *broken_;
    }
    take_in();
    for (const kernels::cuda_emulated::Graph& work : queue_)
        work.run();
    queue_.clear();
    return {};
}

}  // namespace bitnetd::worker::test
