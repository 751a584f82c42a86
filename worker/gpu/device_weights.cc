#include "worker/gpu/device_weights.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <vector>

#include "common/base/bytes.h"
#include "worker/gpu/matrix.h"
#include "worker/kernels/cuda/layout.h"

namespace bitnetd::worker {
namespace {

using kernels::cuda::HostMatrix;
using kernels::cuda::MatrixKind;

constexpr uint64_t kDeviceAlignment = 256;
// While one piece is on its way, the next one is laid out.
constexpr uint64_t kPieceBytes = 8u << 20;

HostMatrix host_matrix(const Linear& w) {
    return {.data = w.weights,
            .kind = kind_of(w.packing),
            .block_format = w.block_format,
            .rows = w.outputs,
            .columns = w.inputs};
}

HostMatrix host_floats(const float* values, uint64_t count) {
    return {.data = reinterpret_cast<const std::byte*>(values),
            .kind = MatrixKind::kF32,
            .block_format = {},
            .rows = 1,
            .columns = static_cast<int32_t>(count)};
}

// What is to be uploaded, and where it goes, from the start of the device's block.
class UploadPlan {
  public:
    explicit UploadPlan(const WeightsView& weights) : weights_(weights) {
        add(weights.embedding);
        add(weights.output);
        add(weights.output_norm, weights.header.hidden);
        for (const LayerWeights& w : weights.layers)
            add(w);
    }

    struct Part {
        HostMatrix matrix;
        uint64_t offset;
    };
    const std::vector<Part>& parts() const { return parts_; }
    uint64_t bytes() const { return bytes_; }

    WeightsView view_at(std::byte* base) const {
        WeightsView view = weights_;
        view.screen = {};
        move(view.embedding, base);
        move(view.output, base);
        move(view.output_norm, base);
        for (LayerWeights& w : view.layers) {
            for (const auto norm : kNorms)
                move(w.*norm, base);
            for (const auto linear : kLinears)
                move(w.*linear, base);
            move(w.rope, base);
        }
        return view;
    }

  private:
    static constexpr std::array kNorms = {
        &LayerWeights::attn_norm,     &LayerWeights::q_norm,         &LayerWeights::k_norm,
        &LayerWeights::attn_sub_norm, &LayerWeights::post_attn_norm, &LayerWeights::ffn_norm,
        &LayerWeights::ffn_sub_norm,  &LayerWeights::post_ffn_norm};
    static constexpr std::array kLinears = {
        &LayerWeights::q,    &LayerWeights::k,  &LayerWeights::v,   &LayerWeights::attn_output,
        &LayerWeights::gate, &LayerWeights::up, &LayerWeights::down};

    void add(const HostMatrix& matrix) {
        if (matrix.data == nullptr || !at_.emplace(matrix.data, bytes_).second) return;
        parts_.push_back({matrix, bytes_});
        const auto size = static_cast<uint64_t>(kernels::cuda::device_bytes(matrix, matrix.rows));
        bytes_ = round_up(bytes_ + size, kDeviceAlignment);
    }
    void add(const Linear& w) {
        add(host_matrix(w));
        add(w.bias, static_cast<uint64_t>(w.outputs));
        add(w.input_norm, static_cast<uint64_t>(w.inputs));
    }
    void add(const float* values, uint64_t count) { add(host_floats(values, count)); }
    void add(const LayerWeights& w) {
        const uint64_t sizes[kNorms.size()] = {
            weights_.header.hidden,   weights_.header.head_dim,
            weights_.header.head_dim, static_cast<uint64_t>(weights_.query_size()),
            weights_.header.hidden,   weights_.header.hidden,
            weights_.header.ffn,      weights_.header.hidden};
        for (size_t i = 0; i < kNorms.size(); ++i)
            add(w.*kNorms[i], sizes[i]);
        for (const auto linear : kLinears)
            add(w.*linear);
        // Rows, so that a long context is uploaded in pieces.
        HostMatrix rope = host_floats(w.rope, weights_.header.rope_dims);
        rope.rows = static_cast<int32_t>(weights_.header.context);
        if (weights_.header.rope_dims > 0) add(rope);
    }

    template <typename T>
    void move(const T*& pointer, std::byte* base) const {
        const auto at = at_.find(reinterpret_cast<const std::byte*>(pointer));
        pointer = at == at_.end() ? nullptr : reinterpret_cast<const T*>(base + at->second);
    }
    void move(Linear& w, std::byte* base) const {
        move(w.weights, base);
        move(w.bias, base);
        move(w.input_norm, base);
    }

    const WeightsView& weights_;
    std::vector<Part> parts_;
    std::map<const std::byte*, uint64_t> at_;  // where what lies in the segment there goes
    uint64_t bytes_ = 0;
};

// Two pieces of host memory in turn: one is filled while the other is on its way.
class Uploader {
  public:
    static Result<Uploader> make(Device& device, uint64_t timeout_ns, uint64_t piece_bytes) {
        Uploader uploader(device, timeout_ns);
        for (std::byte*& piece : uploader.pieces_) {
            BITNETD_ASSIGN(piece, device.allocate_host(piece_bytes));
        }
        return uploader;
    }

    Result<void> upload(const HostMatrix& matrix, std::byte* to) {
        const int64_t rows = rows_at_once(matrix);
        for (int64_t first = 0; first < matrix.rows; first += rows) {
            const int64_t count = std::min<int64_t>(rows, matrix.rows - first);
            const int64_t begin = kernels::cuda::device_bytes(matrix, first);
            const int64_t end = kernels::cuda::device_bytes(matrix, first + count);
            kernels::cuda::lay_out(matrix, first, count, pieces_[turn_]);
            // What went before has left the other piece; this one is on its way from here on.
            BITNETD_TRY(device_.wait(timeout_ns_));
            device_.upload(pieces_[turn_], to + begin, static_cast<uint64_t>(end - begin));
            turn_ = 1 - turn_;
        }
        return {};
    }

    // Of any piece: so many rows fit, whole tiles of them.
    static int64_t rows_at_once(const HostMatrix& matrix) {
        const int64_t tile = kernels::cuda::device_bytes(matrix, kernels::cuda::kTileRows);
        const int64_t tiles = std::max<int64_t>(static_cast<int64_t>(kPieceBytes) / tile, 1);
        return tiles * kernels::cuda::kTileRows;
    }

  private:
    Uploader(Device& device, uint64_t timeout_ns) : device_(device), timeout_ns_(timeout_ns) {}

    Device& device_;
    uint64_t timeout_ns_;
    std::array<std::byte*, 2> pieces_{};
    size_t turn_ = 0;
};

uint64_t longest_piece(const UploadPlan& plan) {
    int64_t longest = 0;
    for (const UploadPlan::Part& part : plan.parts()) {
        const int64_t rows =
            std::min<int64_t>(Uploader::rows_at_once(part.matrix), part.matrix.rows);
        longest = std::max(longest, kernels::cuda::device_bytes(part.matrix, rows));
    }
    return static_cast<uint64_t>(longest);
}

Result<std::byte*> room_for(Device& device, uint64_t bytes) {
    auto memory = device.allocate(bytes);
    if (memory.ok()) return *memory;
    if (memory.error().code != ErrorCode::kExhausted) return std::move(memory).error();
    BITNETD_ASSIGN(const uint64_t free_bytes, device.free_bytes());
    return Error{ErrorCode::kExhausted,
                 "out of GPU memory: the weights take " + std::to_string(bytes) + " bytes, and " +
                     std::to_string(free_bytes) + " of " +
                     std::to_string(device.facts().memory_bytes) +
                     " are free: take a smaller model, or a GPU with nobody else on it, or leave "
                     "it out of server.gpu"};
}

}  // namespace

Result<void> check_gpu(const WeightsView& weights) {
    if (!weights.rounds_to_bf16) return {};
    return unsupported(
        "worker.bf16_inputs is bf16, which GPU workers do not compute: set it to float, or leave "
        "server.gpu empty");
}

Result<DeviceWeights> upload_weights(Device& device, const WeightsView& weights,
                                     uint64_t timeout_ns, const UploadProgress& progress) {
    const UploadPlan plan(weights);
    BITNETD_ASSIGN(std::byte* const base, room_for(device, plan.bytes()));
    BITNETD_ASSIGN(Uploader uploader, Uploader::make(device, timeout_ns, longest_piece(plan)));
    for (const UploadPlan::Part& part : plan.parts()) {
        progress(part.offset, plan.bytes());
        BITNETD_TRY(uploader.upload(part.matrix, base + part.offset));
    }
    BITNETD_TRY(device.wait(timeout_ns));
    progress(plan.bytes(), plan.bytes());
    return DeviceWeights{plan.view_at(base), plan.bytes()};
}

}  // namespace bitnetd::worker
