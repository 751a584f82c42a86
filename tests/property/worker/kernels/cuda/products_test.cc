// Goal: products with float and block matrices on the device give the reference's bits: whatever
//       the number of rows, with and without rounding, bias, addition and cap, for one to three
//       matrices in one launch, and nothing is written beyond the results.
// Method: random odd shapes over the emulation, beside loops over the reference table; then the
//       largest integer sums, infinities and NaN, and a row beside others that it must not see.
#include <algorithm>
#include <limits>

#include "tests/property/worker/kernels/cuda/random_shapes.h"
#include "tests/support/cuda/emulated_table.h"
#include "tests/support/cuda/stream.h"
#include "worker/kernels/tables.h"

namespace bitnetd::kernels::cuda_emulated {
namespace {

using cuda::MatrixKind;
using cuda::Rounding;
using cuda::Store;

const KernelTable& plain() {
    return reference::kTable;
}

std::vector<std::byte> bytes_of(const void* from, size_t bytes) {
    const auto* begin = static_cast<const std::byte*>(from);
    return {begin, begin + bytes};
}

std::vector<std::byte> float_matrix(MatrixKind kind, int64_t count, Random& random) {
    const std::vector<float> numbers = values(random, count);
    if (kind == MatrixKind::kF32) return bytes_of(numbers.data(), numbers.size() * sizeof(float));
    if (kind == MatrixKind::kF16) {
        std::vector<uint16_t> halves(numbers.size());
        plain().f32_to_f16(count, numbers.data(), halves.data());
        return bytes_of(halves.data(), halves.size() * sizeof(uint16_t));
    }
    std::vector<Bf16> halves(numbers.size());
    plain().f32_to_bf16(count, numbers.data(), halves.data());
    return bytes_of(halves.data(), halves.size() * sizeof(Bf16));
}

// Any matrix that packing can make. `extreme`: the largest codes.
std::vector<std::byte> block_matrix(BlockFormat format, int64_t n, int64_t k, bool extreme,
                                    Random& random) {
    const BlockLayout& layout = layout_of(format);
    std::vector<uint8_t> bytes(static_cast<size_t>(block_matrix_bytes(format, n, k)));
    for (size_t at = 0; at < bytes.size(); at += static_cast<size_t>(layout.unit_bytes())) {
        for (int32_t i = 0; i < layout.unit_bytes(); ++i) {
            uint8_t& byte = bytes[at + static_cast<size_t>(i)];
            byte = static_cast<uint8_t>(random.next());
            // The upper byte of a half: neither infinite nor NaN, and not so large.
            if (i < layout.scales_at() && i % 2 == 1) byte = byte & 0xbf;
            if (i < layout.codes_at()) continue;
            const auto code = static_cast<uint8_t>(
                extreme && !random.one_in(8) ? layout.code_max : random.in(0, layout.code_max));
            byte = layout.code_bits == 8 ? code : static_cast<uint8_t>(code << 4 | code / 2);
        }
    }
    return bytes_of(bytes.data(), bytes.size());
}

// One to three matrices of a kind, with where their products go.
class Case {
  public:
    Case(MatrixKind kind, BlockFormat format, int32_t m, int32_t k, bool extreme, Random& random)
        : m_(m), k_(k) {
        const int count = random.in(1, 3);
        for (int i = 0; i < count; ++i) {
            const int32_t n = random.in(1, random.one_in(6) ? 140 : 36);
            data_.push_back(kind == MatrixKind::kBlocks
                                ? block_matrix(format, n, k, extreme, random)
                                : float_matrix(kind, int64_t{n} * k, random));
            bias_.push_back(random.one_in(2) ? values(random, n) : std::vector<float>());
            before_.push_back(values(random, int64_t{m} * n + kGuard));
            rows_.push_back(n);
            // Neighbours may have formats of their own.
            formats_.push_back(format);
            if (kind == MatrixKind::kBlocks && i + 1 < count && random.one_in(3))
                format = other_of(format, random);
        }
        kind_ = kind;
        x_ = values(random, int64_t{m} * k);
        if (extreme) std::fill(x_.begin(), x_.end(), random.one_in(2) ? 1.0f : -1.0f);
    }

    std::vector<float>& x() { return x_; }
    size_t count() const { return rows_.size(); }
    cuda::Matrix matrix(size_t i) const {
        return {.data = data_[i].data(),
                .kind = kind_,
                .block_format = formats_[i],
                .rows = rows_[i],
                .columns = k_,
                .scale = 1,
                .bias = bias_[i].empty() ? nullptr : bias_[i].data()};
    }
    std::vector<float> before(size_t i) const { return before_[i]; }

    // What the reference makes of matrix i without bias: [m][rows].
    std::vector<float> sums(size_t i, Rounding rounding) const {
        std::vector<float> y(static_cast<size_t>(m_) * static_cast<size_t>(rows_[i]));
        const int32_t n = rows_[i];
        const auto* w = reinterpret_cast<const uint8_t*>(data_[i].data());
        if (kind_ == MatrixKind::kF32) {
            plain().matmul_f32(m_, n, k_, x_.data(), reinterpret_cast<const float*>(w), y.data(),
                               n);
        } else if (kind_ == MatrixKind::kF16) {
            plain().matmul_f16(m_, n, k_, x_.data(), reinterpret_cast<const uint16_t*>(w), y.data(),
                               n);
        } else if (kind_ == MatrixKind::kBf16) {
            plain().matmul_bf16(m_, n, k_, x_.data(), reinterpret_cast<const Bf16*>(w), y.data(),
                                n);
        } else if (rounding == Rounding::kNone) {
            plain().block_matmul(formats_[i], m_, n, k_, x_.data(), w, y.data(), n);
        } else {
            plain().block_gemm(formats_[i], m_, n, k_, q_.data(), d_.data(), q_sum_.data(), w,
                               y.data(), n);
        }
        return y;
    }
    cuda::Rounded rounded() {
        q_.resize(x_.size());
        d_.resize(x_.size() / 32);
        q_sum_.resize(x_.size() / 16);
        plain().quantise_blocks(m_, k_, x_.data(), k_, q_.data(), d_.data(), q_sum_.data());
        return {q_.data(), d_.data(), q_sum_.data()};
    }

  private:
    // Another format of the same unit.
    static BlockFormat other_of(BlockFormat format, Random& random) {
        BlockFormat other = format;
        do {
            other = static_cast<BlockFormat>(random.in(0, kBlockFormats - 1));
        } while (layout_of(other).unit != layout_of(format).unit);
        return other;
    }

    MatrixKind kind_;
    int32_t m_;
    int32_t k_;
    std::vector<float> x_;
    std::vector<std::vector<std::byte>> data_;
    std::vector<std::vector<float>> bias_;
    std::vector<std::vector<float>> before_;
    std::vector<int32_t> rows_;
    std::vector<BlockFormat> formats_;
    std::vector<int8_t> q_;
    std::vector<float> d_;
    std::vector<int32_t> q_sum_;
};

void check_multiply(Case& of, int32_t m, Rounding rounding, Store store) {
    const cuda::Rounded rounded = rounding == Rounding::kNone ? cuda::Rounded{} : of.rounded();
    std::vector<std::vector<float>> got;
    std::vector<cuda::Product> products;
    for (size_t i = 0; i < of.count(); ++i)
        got.push_back(of.before(i));
    for (size_t i = 0; i < of.count(); ++i)
        products.push_back({of.matrix(i), got[i].data()});
    CUstream_st stream;
    table().multiply(&stream, m, products, rounding, rounded, of.x().data(), store);
    for (size_t i = 0; i < of.count(); ++i) {
        std::vector<float> want = of.before(i);
        const std::vector<float> sums = of.sums(i, rounding);
        const float* bias = of.matrix(i).bias;
        for (size_t at = 0; at < sums.size(); ++at) {
            float sum = sums[at];
            if (bias != nullptr) sum += bias[at % static_cast<size_t>(of.matrix(i).rows)];
            want[at] = store == Store::kAdd ? want[at] + sum : sum;
        }
        expect_same(got[i], want, "multiply");
    }
}

void check_logits(Case& of, int32_t m, float cap) {
    cuda::Matrix w = of.matrix(0);
    w.bias = nullptr;
    std::vector<float> got = of.before(0);
    std::vector<float> want = got;
    CUstream_st stream;
    table().logits(&stream, m, w, of.x().data(), cap, got.data());
    std::vector<float> sums = of.sums(0, Rounding::kNone);
    if (cap != 0) plain().soft_cap(static_cast<int64_t>(sums.size()), cap, sums.data());
    std::copy(sums.begin(), sums.end(), want.begin());
    expect_same(got, want, "logits");
}

int32_t random_rows(Random& random) {
    if (random.one_in(3)) return 1;
    return random.one_in(2) ? random.in(2, 16) : random.in(17, 70);
}

void check_random(MatrixKind kind, BlockFormat format, Random& random) {
    const bool is_blocks = kind == MatrixKind::kBlocks;
    const int32_t unit = is_blocks ? layout_of(format).unit : 1;
    const int32_t k = unit * random.in(1, unit == 1    ? 210
                                          : unit == 32 ? (random.one_in(6) ? 40 : 12)
                                                       : 3);
    const int32_t m = random_rows(random);
    Case of(kind, format, m, k, random.one_in(5), random);
    if (random.one_in(3)) return check_logits(of, m, random.one_in(2) ? 30.0f : 0.0f);
    const Rounding rounding = is_blocks && !random.one_in(4) ? Rounding::kBlocks : Rounding::kNone;
    check_multiply(of, m, rounding, random.one_in(2) ? Store::kSet : Store::kAdd);
}

TEST(CudaProducts, OfFloatMatricesAreTheReferences) {
    for_random_shapes(450, [](Random& random) {
        constexpr MatrixKind kKinds[] = {MatrixKind::kF32, MatrixKind::kF16, MatrixKind::kBf16};
        check_random(kKinds[random.in(0, 2)], {}, random);
    });
}

TEST(CudaProducts, OfBlockMatricesAreTheReferences) {
    for_random_shapes(700, [](Random& random) {
        const auto format = static_cast<BlockFormat>(random.in(0, kBlockFormats - 1));
        check_random(MatrixKind::kBlocks, format, random);
    });
}

// A row of 8192 columns: several chunks of tiles, and sums of thousands.
TEST(CudaProducts, LongRows) {
    Random random(3);
    for (const BlockFormat format : {BlockFormat::kQ8_0, BlockFormat::kQ6_K, BlockFormat::kQ4_K}) {
        for (const int32_t m : {1, 2, 17}) {
            Case of(MatrixKind::kBlocks, format, m, 8192, true, random);
            check_multiply(of, m, Rounding::kBlocks, Store::kSet);
        }
    }
    Case floats(MatrixKind::kBf16, {}, 2, 8192, false, random);
    check_multiply(floats, 2, Rounding::kNone, Store::kSet);
}

// What is not a number shows in its own row, and in no other.
TEST(CudaProducts, InfinityAndNanStayInTheirRow) {
    Random random(4);
    for (const float bad :
         {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
        for (const int32_t m : {2, 20}) {
            for (const MatrixKind kind : {MatrixKind::kF32, MatrixKind::kBlocks}) {
                Case of(kind, BlockFormat::kQ4_K, m, 256, false, random);
                of.x()[7] = bad;
                check_multiply(of, m, Rounding::kNone, Store::kSet);
                if (kind == MatrixKind::kBlocks)
                    check_multiply(of, m, Rounding::kBlocks, Store::kSet);
            }
        }
    }
}

}  // namespace
}  // namespace bitnetd::kernels::cuda_emulated
