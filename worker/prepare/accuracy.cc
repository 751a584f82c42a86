#include "worker/prepare/accuracy.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <map>
#include <thread>

#include "common/base/quote.h"
#include "worker/model/aligned_array.h"
#include "worker/model/linear.h"
#include "worker/prepare/probe_rows.h"
#include "worker/prepare/stored_rows.h"
#include "worker/sampler/philox.h"
#include "worker/topology/parallel_for.h"

namespace bitnetd::worker {
namespace {

constexpr int32_t kProbeRows = 4;
constexpr uint64_t kStripeRows = 16;  // outputs of one ratio; kernels split matrices there
constexpr uint64_t kStripesSampled = 4;
constexpr uint64_t kSmallMatrix = 1u << 16;  // elements
constexpr uint64_t kElementsAtOnce = 1u << 18;
// How far |y| may be from |y_ref|: the rounding of activations costs 0.5 % where outliers make it
// coarse, a scale that is wrong by one step of its type more than 6 %.
constexpr double kLengthErrorMax = 0.05;

struct Rows {
    uint64_t first = 0;
    uint64_t count = 0;
};

uint64_t stripes_in(uint64_t rows) {
    return (rows + kStripeRows - 1) / kStripeRows;
}

// One stripe in each of `kStripesSampled` equal parts of the rows; of a matrix that is read in
// large steps of rows, within one such step.
std::vector<Rows> sampled_rows(uint64_t rows, uint64_t row_step, uint32_t index, uint32_t draw) {
    const auto random = philox({index, draw, 0, 2}, kStripesSampled);
    Rows from{0, rows};
    if (row_step > kStripeRows) {
        // Stripes begin at multiples of 16, steps are such multiples: TL1 and TL2 have no others.
        from = {random[0] % (rows / row_step) * row_step, row_step};
    }
    const uint64_t stripes = stripes_in(from.count);
    std::vector<Rows> out;
    for (uint64_t i = 0; i < std::min(kStripesSampled, stripes); ++i) {
        const uint64_t parts = std::min(kStripesSampled, stripes);
        const uint64_t begin = stripes * i / parts;
        const uint64_t end = stripes * (i + 1) / parts;
        const uint64_t stripe = begin + random[i] % (end - begin);
        const uint64_t first = from.first / kStripeRows * kStripeRows + stripe * kStripeRows;
        out.push_back({first, std::min(kStripeRows, rows - first)});
    }
    return out;
}

std::vector<Rows> all_rows(uint64_t rows, uint64_t columns) {
    const uint64_t at_once =
        std::max<uint64_t>(1, kElementsAtOnce / columns / kStripeRows) * kStripeRows;
    std::vector<Rows> out;
    for (uint64_t first = 0; first < rows; first += at_once)
        out.push_back({first, std::min(at_once, rows - first)});
    return out;
}

// y and y_ref seen so far.
struct Products {
    double y_y = 0;
    double ref_ref = 0;
    double y_ref = 0;

    void add(double y, double ref) {
        y_y += y * y;
        ref_ref += ref * ref;
        y_ref += y * ref;
    }
    void add(const Products& other) {
        y_y += other.y_y;
        ref_ref += other.ref_ref;
        y_ref += other.y_ref;
    }
    double cosine() const {
        if (ref_ref == 0) return y_y == 0 ? 1 : 0;
        const double cosine = y_ref / std::sqrt(y_y * ref_ref);
        return cosine > 0 ? std::min(cosine, 1.0) : 0;  // NaN is 0
    }
    double length() const {
        if (ref_ref == 0) return y_y == 0 ? 1 : INFINITY;
        return std::sqrt(y_y / ref_ref);
    }
};

// Activations for matrices of up to `inputs_max` columns, as kernels and as the reference want
// them.
class Probe {
  public:
    explicit Probe(int32_t inputs_max)
        : floats_(static_cast<size_t>(kProbeRows * inputs_max)), doubles_(floats_.size()) {}

    void fill(uint64_t number, int32_t inputs) {
        inputs_ = static_cast<size_t>(inputs);
        for (size_t i = 0; i < kProbeRows; ++i) {
            const auto row = floats_.span().subspan(i * inputs_, inputs_);
            fill_probe_row(number * kProbeRows + i, row);
            for (size_t t = 0; t < inputs_; ++t)
                doubles_.data()[t * kProbeRows + i] = row[t];
        }
    }

    const float* rows() const { return floats_.data(); }

    // The product of each probe row with one row of weights.
    std::array<double, kProbeRows> times(const double* weights) const {
        std::array<double, kProbeRows> sums{};
        for (size_t t = 0; t < inputs_; ++t) {
            for (size_t i = 0; i < kProbeRows; ++i)
                sums[i] += weights[t] * doubles_.data()[t * kProbeRows + i];
        }
        return sums;
    }

  private:
    size_t inputs_ = 0;
    AlignedArray<float> floats_;    // [kProbeRows][inputs]
    AlignedArray<double> doubles_;  // [inputs][kProbeRows]: one weight meets all rows at once
};

// The matrix that workers multiply with, without its bias; nothing for what is no matrix.
struct Packed {
    Linear linear;
    bool is_table = false;  // multiplied in float whatever its packing
};

std::optional<Packed> packed_matrix(const WeightsView& weights, const PlannedTensor& tensor) {
    const shm::TensorEntry& entry = tensor.entry;
    if (tensor.source == nullptr || entry.role != shm::TensorRole::kWeight) return std::nullopt;
    if (entry.part == shm::TensorPart::kTokenEmbedding) return Packed{weights.embedding, true};
    if (entry.part == shm::TensorPart::kOutput) return Packed{weights.output, true};
    if (entry.layer == shm::kNoLayer) return std::nullopt;
    const Linear* linear = linear_of(weights.layers[entry.layer], entry.part);
    if (linear == nullptr) return std::nullopt;
    Packed out{*linear, false};
    out.linear.bias = nullptr;
    return out;
}

// Measures one matrix.
class Meter {
  public:
    Meter(ModelInput& input, const AccuracyRun& run, const Linear& w)
        : input_(input),
          run_(run),
          probe_(w.inputs),
          prepared_(kProbeRows, w.inputs, TernaryChoice(run.kernels, {})),
          y_(static_cast<size_t>(kProbeRows) * static_cast<size_t>(w.outputs)) {}

    // index: of the matrix among all; it chooses rows and activations.
    Result<MatrixAccuracy> measure(const PlannedTensor& tensor, const Packed& packed,
                                   uint32_t index) {
        MatrixAccuracy out{tensor.source->name, tensor.source->type, 1, 1, tensor.first_row, 0};
        BITNETD_ASSIGN(StoredRows stored, StoredRows::open(input_, tensor));
        const Linear& w = packed.linear;
        probe_.fill(uint64_t{run_.draw} << 32 | index, w.inputs);
        if (!packed.is_table) prepared_.prepare(run_.kernels, w, {0, kProbeRows}, probe_.rows());
        Products all;
        for (const Rows& rows : rows_of(tensor.entry, stored.row_step(), index)) {
            multiply(packed, rows);
            weights_.resize(rows.count * tensor.entry.columns);
            BITNETD_TRY(stored.read(rows.first, rows.count, weights_));
            for (uint64_t row = 0; row < rows.count; row += kStripeRows) {
                const uint64_t count = std::min(kStripeRows, rows.count - row);
                const Products stripe = compare(w, rows.first, {row, count});
                all.add(stripe);
                if (stripe.cosine() >= out.ratio) continue;
                out.ratio = stripe.cosine();
                out.row = tensor.first_row + rows.first + row;
            }
            out.values += weights_.size();
        }
        out.length = all.length();
        return out;
    }

  private:
    std::vector<Rows> rows_of(const shm::TensorEntry& entry, uint64_t row_step,
                              uint32_t index) const {
        const bool small = uint64_t{entry.rows} * entry.columns <= kSmallMatrix;
        return small || run_.coverage == Coverage::kAll
                   ? all_rows(entry.rows, entry.columns)
                   : sampled_rows(entry.rows, row_step, index, run_.draw);
    }

    void multiply(const Packed& packed, Rows rows) {
        const Linear& w = packed.linear;
        const Range outputs{static_cast<int64_t>(rows.first),
                            static_cast<int64_t>(rows.first + rows.count)};
        if (packed.is_table) {
            multiply_floats(run_.kernels, kProbeRows, w, outputs, probe_.rows(), y_.data(),
                            w.outputs);
        } else {
            prepared_.multiply(run_.kernels, kProbeRows, w, outputs, probe_.rows(), y_.data());
        }
    }

    // Of rows `stripe`, counted from row `first` of the matrix, whose weights were read.
    Products compare(const Linear& w, uint64_t first, Rows stripe) const {
        Products out;
        for (uint64_t j = stripe.first; j < stripe.first + stripe.count; ++j) {
            const auto ref = probe_.times(weights_.data() + j * static_cast<uint64_t>(w.inputs));
            for (size_t i = 0; i < kProbeRows; ++i)
                out.add(y_.data()[i * static_cast<size_t>(w.outputs) + first + j], ref[i]);
        }
        return out;
    }

    ModelInput& input_;
    const AccuracyRun& run_;
    Probe probe_;
    LinearInput prepared_;
    AlignedArray<float> y_;  // [kProbeRows][outputs]
    std::vector<double> weights_;
};

struct Matrix {
    const PlannedTensor* tensor;
    Packed packed;
};

std::vector<Matrix> matrices_of(const WeightsPlan& plan, const WeightsView& weights) {
    std::vector<Matrix> out;
    for (const PlannedTensor& tensor : plan.tensors) {
        if (const auto packed = packed_matrix(weights, tensor)) out.push_back({&tensor, *packed});
    }
    return out;
}

std::string number_text(const char* format, double value) {
    char text[32];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

}  // namespace

Result<std::vector<MatrixAccuracy>> measure_accuracy(ModelInput& input, const WeightsPlan& plan,
                                                     const WeightsView& weights,
                                                     const AccuracyRun& run) {
    const std::vector<Matrix> matrices = matrices_of(plan, weights);
    uint64_t total_bytes = 0;
    for (const Matrix& matrix : matrices)
        total_bytes += matrix.tensor->entry.bytes;
    std::vector<MatrixAccuracy> out(matrices.size());
    std::atomic<uint64_t> done_bytes{0};
    const auto caller = std::this_thread::get_id();
    const auto measure = [&](size_t index) -> Result<void> {
        const auto& [tensor, packed] = matrices[index];
        auto accuracy =
            Meter(input, run, packed.linear).measure(*tensor, packed, static_cast<uint32_t>(index));
        if (!accuracy.ok()) {
            return std::move(accuracy).error().within("tensor " + quote(tensor->source->name));
        }
        out[index] = std::move(accuracy).value();
        const uint64_t done = done_bytes += tensor->entry.bytes;
        if (run.progress && std::this_thread::get_id() == caller) run.progress(done, total_bytes);
        return {};
    };
    BITNETD_TRY(parallel_for(run.pool, matrices.size(), measure));
    return out;
}

std::vector<MatrixAccuracy> worst_by_type(std::span<const MatrixAccuracy> matrices) {
    std::map<quant::Type, MatrixAccuracy> worst;
    for (const MatrixAccuracy& matrix : matrices) {
        const auto [at, is_first] = worst.try_emplace(matrix.type, matrix);
        if (!is_first && matrix.ratio < at->second.ratio) at->second = matrix;
    }
    std::vector<MatrixAccuracy> out;
    for (auto& [type, matrix] : worst)
        out.push_back(std::move(matrix));
    return out;
}

Result<void> judge_accuracy(const MatrixAccuracy& matrix, const quant::AccuracyMinima& minima) {
    const double minimum = minima.of(matrix.type);
    if (!(matrix.ratio >= minimum)) {
        return invalid("accuracy ratio " + number_text("%.8f", matrix.ratio) + " at row " +
                       std::to_string(matrix.row) + ", expected " + number_text("%.10g", minimum) +
                       " or more for " + std::string(quant::name_of(matrix.type)));
    }
    if (!(std::fabs(matrix.length - 1) <= kLengthErrorMax)) {
        return invalid("its products are " + number_text("%.6f", matrix.length) +
                       " times as long as the stored weights make them, expected 1 within " +
                       number_text("%.2f", kLengthErrorMax));
    }
    return {};
}

Result<void> judge_accuracy(std::span<const MatrixAccuracy> matrices,
                            const quant::AccuracyMinima& minima) {
    std::vector<const MatrixAccuracy*> ascending;
    for (const MatrixAccuracy& matrix : matrices)
        ascending.push_back(&matrix);
    std::stable_sort(ascending.begin(), ascending.end(),
                     [](const auto* a, const auto* b) { return a->ratio < b->ratio; });
    for (const MatrixAccuracy* matrix : ascending) {
        auto judged = judge_accuracy(*matrix, minima);
        if (judged.ok()) continue;
        Error error = std::move(judged).error().within("tensor " + quote(matrix->tensor));
        error.message +=
            "; `bitnetctl model verify` looks at every row, and model.accuracy_min "
            "sets what is expected";
        return error;
    }
    return {};
}

}  // namespace bitnetd::worker
