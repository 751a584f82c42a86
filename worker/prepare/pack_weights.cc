#include "worker/prepare/pack_weights.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/base/quote.h"
#include "worker/kernels/kernel_api.h"
#include "worker/kernels/ternary_pack.h"
#include "worker/prepare/file_digest.h"
#include "worker/prepare/float_rows.h"
#include "worker/prepare/rope_table.h"
#include "worker/prepare/row_reader.h"
#include "worker/prepare/ternary_rows.h"

namespace bitnetd::worker {
namespace {

using shm::Packing;
using shm::TensorEntry;

// Turns bytes done into percent of all work: the file is read twice, for the weights and for the
// digest.
class Meter {
  public:
    Meter(uint64_t total, const PercentSink& sink) : total_(total), sink_(sink) {}

    void add(uint64_t bytes) {
        done_ += bytes;
        const auto percent = static_cast<uint32_t>(std::min<uint64_t>(100, done_ * 100 / total_));
        if (percent == shown_ || !sink_) return;
        shown_ = percent;
        sink_(percent);
    }

  private:
    uint64_t total_;
    const PercentSink& sink_;
    uint64_t done_ = 0;
    uint32_t shown_ = 0;
};

Error at_row(Error error, uint64_t row) {
    return std::move(error).within("row " + std::to_string(row));
}

Result<float> pack_ternary(RowReader& rows, const gguf::TensorInfo& tensor, std::byte* out) {
    std::vector<std::byte> tail(quant::info_of(tensor.type).tail_bytes);
    BITNETD_TRY(rows.read_tail(tail));
    BITNETD_ASSIGN(TernaryDecoder decoder, TernaryDecoder::create(tensor.type, tail));
    const auto columns = static_cast<int64_t>(rows.columns());
    const int64_t packed_bytes = kernels::ternary_row_bytes(columns);
    std::vector<int8_t> digits(static_cast<size_t>(columns));
    for (uint64_t row = 0; row < rows.rows(); ++row) {
        BITNETD_ASSIGN(const auto bytes, rows.next());
        if (auto decoded = decoder.decode(bytes, digits); !decoded) {
            return at_row(std::move(decoded).error(), row);
        }
        kernels::pack_ternary_row(digits.data(), columns, reinterpret_cast<uint8_t*>(out));
        out += packed_bytes;
    }
    return decoder.scale();
}

Result<void> pack_f32(RowReader& rows, const gguf::TensorInfo& tensor, std::byte* out) {
    const auto columns = static_cast<size_t>(rows.columns());
    const std::span<float> values(reinterpret_cast<float*>(out),
                                  static_cast<size_t>(rows.rows()) * columns);
    for (uint64_t row = 0; row < rows.rows(); ++row) {
        BITNETD_ASSIGN(const auto bytes, rows.next());
        const auto place = values.subspan(static_cast<size_t>(row) * columns, columns);
        if (auto decoded = decode_floats(tensor.type, bytes, place); !decoded) {
            return at_row(std::move(decoded).error(), row);
        }
    }
    return {};
}

// Halves are kept as they are; decoding them only checks that they are finite.
Result<void> pack_f16(RowReader& rows, std::byte* out) {
    std::vector<float> values(static_cast<size_t>(rows.columns()));
    for (uint64_t row = 0; row < rows.rows(); ++row) {
        BITNETD_ASSIGN(const auto bytes, rows.next());
        if (auto decoded = decode_floats(quant::Type::kF16, bytes, values); !decoded) {
            return at_row(std::move(decoded).error(), row);
        }
        std::memcpy(out, bytes.data(), bytes.size());
        out += bytes.size();
    }
    return {};
}

// Returns the scale of the tensor: 1 unless it is ternary.
Result<float> pack_tensor(const PackInput& input, const PlannedTensor& tensor, std::byte* out) {
    RowReader rows(input.source, input.file, *tensor.source);
    switch (tensor.entry.packing) {
        case Packing::kTernary2Bit:
            return pack_ternary(rows, *tensor.source, out);
        case Packing::kF32:
            BITNETD_TRY(pack_f32(rows, *tensor.source, out));
            break;
        case Packing::kF16:
            BITNETD_TRY(pack_f16(rows, out));
            break;
    }
    return 1.0f;
}

Result<void> pack_rope(const PackInput& input, const TensorEntry& entry, std::byte* out) {
    std::vector<float> factors;
    if (input.plan.rope_factors != nullptr) {
        factors.resize(input.model.rope_dims / 2);
        const gguf::TensorInfo& tensor = *input.plan.rope_factors;
        RowReader rows(input.source, input.file, tensor);
        auto read = pack_f32(rows, tensor, reinterpret_cast<std::byte*>(factors.data()));
        if (!read) return std::move(read).error().within("tensor rope_freqs.weight");
    }
    const std::span<float> table(reinterpret_cast<float*>(out), entry.bytes / sizeof(float));
    return fill_rope_table(input.model, factors, table);
}

shm::WeightsHeader make_header(const PackInput& input) {
    const Hyperparameters& model = input.model;
    shm::WeightsHeader header{};
    header.abi_version = shm::kWeightsAbiVersion;
    header.header_bytes = sizeof header;
    header.segment_bytes = input.plan.segment_bytes;
    header.architecture = model.architecture;
    header.tensor_count = static_cast<uint32_t>(input.plan.tensors.size());
    header.layers = model.layers;
    header.hidden = model.hidden;
    header.ffn = model.ffn;
    header.heads = model.heads;
    header.kv_heads = model.kv_heads;
    header.head_dim = model.head_dim;
    header.rope_dims = model.rope_dims;
    header.vocab = model.vocab;
    header.context = model.context;
    header.norm_eps = model.norm_eps;
    header.end_id_count = static_cast<uint32_t>(input.end_ids.size());
    std::copy(input.end_ids.begin(), input.end_ids.end(), header.end_ids);
    return header;
}

}  // namespace

Result<void> pack_weights(const PackInput& input, std::span<std::byte> segment,
                          const PercentSink& percent) {
    BITNETD_CHECK(segment.size() == input.plan.segment_bytes);
    BITNETD_CHECK(reinterpret_cast<uintptr_t>(segment.data()) % shm::kTensorAlignment == 0);
    BITNETD_CHECK(input.end_ids.size() <= shm::kEndIdsMax);
    Meter meter(2 * input.file.file_bytes, percent);
    std::vector<TensorEntry> entries;
    entries.reserve(input.plan.tensors.size());
    for (const PlannedTensor& tensor : input.plan.tensors) {
        TensorEntry entry = tensor.entry;
        std::byte* out = segment.data() + entry.offset;
        if (tensor.source == nullptr) {
            BITNETD_TRY(pack_rope(input, entry, out));
        } else {
            auto scale = pack_tensor(input, tensor, out);
            if (!scale) {
                return std::move(scale).error().within("tensor " + quote(tensor.source->name));
            }
            entry.scale = *scale;
            meter.add(tensor.source->bytes);
        }
        entries.push_back(entry);
    }
    std::memcpy(segment.data() + sizeof(shm::WeightsHeader), entries.data(),
                entries.size() * sizeof(TensorEntry));
    shm::WeightsHeader header = make_header(input);
    BITNETD_TRY(
        digest_file(input.source, header.digest, [&](uint64_t bytes) { meter.add(bytes); }));
    header.magic = shm::kWeightsMagic;
    std::memcpy(segment.data(), &header, sizeof header);
    return {};
}

}  // namespace bitnetd::worker
