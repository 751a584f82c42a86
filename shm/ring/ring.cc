#include "shm/ring/ring.h"

#include <bit>
#include <new>
#include <string>

namespace bitnetd::shm {
namespace {

bool is_capacity(uint64_t bytes) {
    return std::has_single_bit(bytes) && bytes >= kRingCapacityMin && bytes <= kRingCapacityMax;
}

}  // namespace

Result<void> init_ring(std::span<std::byte> memory, uint64_t consumer_incarnation,
                       uint64_t producer_incarnation) {
    if (memory.size() < sizeof(RingHeader) + kRingCapacityMin) {
        return invalid("a ring needs at least " +
                       std::to_string(sizeof(RingHeader) + kRingCapacityMin) + " bytes, found " +
                       std::to_string(memory.size()));
    }
    const uint64_t capacity = std::bit_floor(memory.size() - sizeof(RingHeader));
    if (!is_capacity(capacity)) {
        return invalid("a ring holds at most " + std::to_string(kRingCapacityMax) +
                       " bytes, asked for " + std::to_string(capacity));
    }
    auto* header = new (memory.data()) RingHeader{};
    header->header_bytes = sizeof(RingHeader);
    header->consumer_incarnation = consumer_incarnation;
    header->producer_incarnation = producer_incarnation;
    header->capacity_bytes = capacity;
    // SYNC(ring.ready): pairs with the acquire in read_ring_shape(). Whoever sees the version sees
    // the fields above. (Descriptors are passed later, which orders it as well.)
    header->abi_version.store(kRingAbiVersion, std::memory_order_release);
    return {};
}

Result<void> init_ring(Segment& segment, uint64_t consumer_incarnation,
                       uint64_t producer_incarnation) {
    return init_ring(segment.mutable_view(), consumer_incarnation, producer_incarnation);
}

Result<RingShape> read_ring_shape(std::span<const std::byte> memory) {
    if (memory.size() < sizeof(RingHeader)) {
        return invalid("ring: a segment of " + std::to_string(memory.size()) +
                       " bytes has no header");
    }
    const auto& header = *reinterpret_cast<const RingHeader*>(memory.data());
    // SYNC(ring.ready): pairs with the release in init_ring().
    const uint32_t version = header.abi_version.load(std::memory_order_acquire);
    if (version != kRingAbiVersion) {
        return invalid("ring: ABI version " + std::to_string(version) + ", expected " +
                       std::to_string(kRingAbiVersion));
    }
    // Each field is read once: its value here is the one that was checked.
    const uint32_t header_bytes = *const_cast<const volatile uint32_t*>(&header.header_bytes);
    const uint64_t capacity = *const_cast<const volatile uint64_t*>(&header.capacity_bytes);
    if (header_bytes != sizeof(RingHeader)) {
        return invalid("ring: header of " + std::to_string(header_bytes) + " bytes, expected " +
                       std::to_string(sizeof(RingHeader)));
    }
    if (!is_capacity(capacity) || capacity > memory.size() - sizeof(RingHeader)) {
        return invalid("ring: capacity " + std::to_string(capacity) +
                       " does not fit a segment of " + std::to_string(memory.size()) + " bytes");
    }
    return RingShape{capacity, header.consumer_incarnation, header.producer_incarnation};
}

RecordCheck check_record(const RecordHeader& header, uint64_t position, uint64_t available_bytes,
                         uint64_t capacity_bytes) noexcept {
    const uint64_t lap_rest = capacity_bytes - (position & (capacity_bytes - 1));
    const uint64_t bytes = record_bytes(header.length_bytes);  // no overflow: 32 bits in 64
    if (bytes > available_bytes || bytes > lap_rest || bytes > capacity_bytes / 4) {
        return RecordCheck::kBad;
    }
    if (header.flags != 0) return RecordCheck::kBad;
    if (header.type != static_cast<uint16_t>(RecordType::kPad)) return RecordCheck::kRecord;
    return bytes == lap_rest ? RecordCheck::kPad : RecordCheck::kBad;
}

}  // namespace bitnetd::shm
