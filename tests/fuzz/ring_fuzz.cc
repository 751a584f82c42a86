// Goal: a hostile ring peer makes errors or plain values, never an access out of bounds or an
// endless loop. Method: the input is a program of the peer's writes into the shared memory and of
// our calls in between; the ring lies on the heap, exactly as large as it is, so that address
// sanitizer guards it. Payloads are checked against the promise of RingReader::poll().
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "common/base/check.h"
#include "shm/inspect/inspect.h"
#include "shm/ring/ring_reader.h"
#include "shm/ring/ring_writer.h"

namespace bitnetd::shm {
namespace {

constexpr size_t kBytes = sizeof(RingHeader) + kRingCapacityMin;

struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
};

// Takes values off the input's front; zeros when it is used up.
class Input {
  public:
    explicit Input(std::span<const uint8_t> bytes) : bytes_(bytes) {}
    bool empty() const { return bytes_.empty(); }
    template <typename T>
    T take() {
        T value{};
        const size_t count = std::min(sizeof value, bytes_.size());
        std::memcpy(&value, bytes_.data(), count);
        bytes_ = bytes_.subspan(count);
        return value;
    }

  private:
    std::span<const uint8_t> bytes_;
};

class Game {
  public:
    Game() : memory_(static_cast<std::byte*>(std::aligned_alloc(64, kBytes))) {
        std::memset(memory_.get(), 0, kBytes);
        BITNETD_CHECK(init_ring(span(), 1, 2).ok());
        open();
    }

    void play(Input& input) {
        switch (input.take<uint8_t>() % 10) {
            case 0:
                put(input.take<uint16_t>(), input.take<uint64_t>());
                break;
            case 1:
                put_record(input);
                break;
            case 2:
                header().tail = input.take<uint64_t>();
                break;
            case 3:
                header().head = input.take<uint64_t>();
                break;
            case 4:
                header().tail += input.take<uint8_t>() * 8u;
                break;
            case 5:
                poll(input.take<uint8_t>());
                break;
            case 6:
                drain();
                break;
            case 7:
                publish(input.take<uint16_t>());
                break;
            case 8:
                inspect();
                break;
            default:
                open();
        }
    }

  private:
    std::span<std::byte> span() { return {memory_.get(), kBytes}; }
    RingHeader& header() { return *reinterpret_cast<RingHeader*>(memory_.get()); }

    // The peer writes eight bytes anywhere, the ring's identity included.
    void put(uint16_t word, uint64_t value) {
        std::memcpy(memory_.get() + word % (kBytes / 8) * 8, &value, sizeof value);
    }
    void put_record(Input& input) {
        const uint16_t word = input.take<uint16_t>() % (kRingCapacityMin / 8);
        const RecordHeader record{input.take<uint16_t>(), input.take<uint8_t>(), 0};
        std::memcpy(memory_.get() + sizeof(RingHeader) + word * 8u, &record, sizeof record);
    }
    void open() {
        reader_.reset();
        writer_.reset();
        if (auto it = RingReader::open(span()); it.ok()) reader_.emplace(std::move(it).value());
        if (auto it = RingWriter::open(span()); it.ok()) writer_.emplace(std::move(it).value());
    }
    static void check(RecordType type, std::span<const std::byte> payload) {
        BITNETD_CHECK(type != RecordType::kPad);
        BITNETD_CHECK(payload.size() <= ring_payload_max(kRingCapacityMin));
    }
    void poll(size_t records_max) {
        if (!reader_) return;
        const auto count = reader_->poll(check, records_max);
        BITNETD_CHECK(count.ok() ? *count <= records_max : reader_->retired());
    }
    void drain() {
        if (!reader_) return;
        const auto count = reader_->drain(check);
        BITNETD_CHECK(!count.ok() || *count <= kRingCapacityMin / kRecordAlignment);
    }
    void inspect() {
        if (inspections_++ < 4) static_cast<void>(inspect_ring(span()));  // slow next to the rest
    }
    void publish(size_t bytes) {
        if (!writer_) return;
        const std::byte payload[ring_payload_max(kRingCapacityMin)] = {};
        const auto part = std::span(payload).first(bytes % (sizeof payload + 1));
        const bool fits = writer_->fits(part.size());
        BITNETD_CHECK(writer_->try_publish(RecordType::kToken, part) == fits);
    }

    std::unique_ptr<std::byte, Free> memory_;
    std::optional<RingReader> reader_;
    std::optional<RingWriter> writer_;
    size_t inspections_ = 0;
};

}  // namespace
}  // namespace bitnetd::shm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    bitnetd::shm::Game game;
    bitnetd::shm::Input input(std::span(data, std::min<size_t>(size, 4096)));
    while (!input.empty())
        game.play(input);
    return 0;
}
