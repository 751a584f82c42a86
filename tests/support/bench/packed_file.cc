#include "tests/support/bench/packed_file.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "shm/abi/weights_abi.h"

namespace bitnetd::bench {

using shm::TensorEntry;
using shm::TensorPart;
using shm::TensorRole;
using worker::Preparation;

Result<shm::Segment> pack_file(Fd file, const worker::PrepareOptions& options) {
    std::vector<worker::NamedSource> files(1);
    files[0].name = "random.gguf";
    BITNETD_ASSIGN(files[0].source, own_file(std::move(file)));
    BITNETD_ASSIGN(const auto preparation, Preparation::open(std::move(files), options));
    BITNETD_ASSIGN(const Fd fd,
                   shm::Segment::create_memfd("bench-weights", preparation.weights_bytes()));
    BITNETD_ASSIGN(auto segment, shm::Segment::map_aligned(fd.get(), shm::Access::kReadWrite));
    shm::collapse_huge(segment.mutable_data(), segment.bytes());
    BITNETD_TRY(preparation.pack(segment.mutable_view(), {}));
    return segment;
}

Result<shm::Segment> make_arena(uint64_t bytes) {
    BITNETD_ASSIGN(const Fd fd, shm::Segment::create_memfd("bench-kv", bytes));
    BITNETD_ASSIGN(auto segment, shm::Segment::map_aligned(fd.get(), shm::Access::kReadWrite));
    std::ranges::fill(segment.mutable_view(), std::byte{0});
    return segment;
}

StepCosts costs_of(std::span<const std::byte> weights) {
    shm::WeightsHeader header;
    std::memcpy(&header, weights.data(), sizeof header);
    StepCosts costs;
    double embedding = 0, own_output = 0, screen = 0;
    for (size_t i = 0; i < header.tensor_count; ++i) {
        TensorEntry entry;
        std::memcpy(&entry, weights.data() + header.header_bytes + i * sizeof entry, sizeof entry);
        const auto bytes = static_cast<double>(entry.bytes);
        const bool is_weight = entry.role == TensorRole::kWeight;
        if (entry.layer != shm::kNoLayer) {
            costs.layer_bytes += bytes;
            if (is_weight && entry.rows > 1) {
                costs.layer_multiply_adds += double{1} * entry.rows * entry.columns;
            }
        } else if (entry.part == TensorPart::kTokenEmbedding && is_weight) {
            embedding = bytes;
        } else if (entry.part == TensorPart::kOutput) {
            (is_weight ? own_output : screen) += bytes;
        }
    }
    costs.output_bytes = screen > 0 ? screen : own_output > 0 ? own_output : embedding;
    costs.output_multiply_adds = double{1} * header.vocab * header.hidden;
    return costs;
}

}  // namespace bitnetd::bench
