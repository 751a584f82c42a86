// Goal: a matrix of any kind comes back from its layout on the device, also when it was laid out in
//       parts; a tile holds what layout.h says; an embedding of any kind is the reference's row.
// Method: random shapes through lay_out() and take_back(); single weights looked up in a tile by
//       the formula; embed() over the emulation against the reference's rows.
#include "common/quant/half.h"
#include "tests/property/worker/kernels/cuda/shapes.h"

namespace bitnetd::kernels::cuda_emulated {
namespace {

using cuda::HostMatrix;
using cuda::MatrixKind;

struct AnyMatrix {
    HostMatrix host{};
    std::vector<std::byte> bytes;

    AnyMatrix(Random& random, MatrixKind kind, int32_t rows, int32_t columns) {
        host = {
            .data = nullptr, .kind = kind, .block_format = {}, .rows = rows, .columns = columns};
        if (kind == MatrixKind::kTernary) {
            const std::vector<int8_t> digits = codes(random, int64_t{rows} * columns, -1, 1);
            bytes.resize(static_cast<size_t>(rows * ternary_row_bytes(columns)));
            for (int64_t j = 0; j < rows; ++j) {
                pack_ternary_row(
                    digits.data() + j * columns, columns,
                    reinterpret_cast<uint8_t*>(bytes.data()) + j * ternary_row_bytes(columns));
            }
        } else {
            if (kind == MatrixKind::kBlocks) {
                host.block_format = static_cast<BlockFormat>(random.in(0, kBlockFormats - 1));
                const int32_t unit = layout_of(host.block_format).unit;
                host.columns = (columns + unit - 1) / unit * unit;
            }
            bytes.resize(static_cast<size_t>(cuda::device_bytes(host, rows)));
            fill(random);
        }
        host.data = bytes.data();
    }

  private:
    // Any bits, but floats and factors that are numbers.
    void fill(Random& random) {
        for (std::byte& byte : bytes)
            byte = static_cast<std::byte>(random.in(0, 255));
        if (host.kind == MatrixKind::kBlocks) return fill_factors(random);
        const size_t step = host.kind == MatrixKind::kF32 ? 4 : 2;
        for (size_t at = step - 1; at < bytes.size(); at += step)
            bytes[at] &= std::byte{0xbf};  // the exponent's upper half stays empty
    }
    void fill_factors(Random& random) {
        const BlockLayout& layout = layout_of(host.block_format);
        for (size_t at = 0; at < bytes.size(); at += static_cast<size_t>(layout.unit_bytes())) {
            for (int32_t i = 0; i < layout.scales_at() / 2; ++i) {
                const uint16_t half = quant::float_to_half(random.real(0.1f));
                std::memcpy(bytes.data() + at + 2 * i, &half, sizeof half);
            }
        }
    }
};

TEST(CudaLayout, ComesBack) {
    for_random_shapes(300, [](Random& random) {
        const auto kind = static_cast<MatrixKind>(random.in(0, 4));
        const AnyMatrix matrix(random, kind, random.in(1, 70), random.in(1, 600));
        const int64_t rows = matrix.host.rows;
        std::vector<std::byte> device(static_cast<size_t>(cuda::device_bytes(matrix.host, rows)));
        const int64_t step = cuda::kTileRows * random.in(1, 4);
        for (int64_t first = 0; first < rows; first += step) {
            cuda::lay_out(matrix.host, first, std::min(step, rows - first),
                          device.data() + cuda::device_bytes(matrix.host, first));
        }
        std::vector<std::byte> back(matrix.bytes.size());
        HostMatrix shape = matrix.host;
        shape.data = nullptr;
        cuda::take_back(shape, device.data(), back.data());
        ASSERT_EQ(back, matrix.bytes);
    });
}

TEST(CudaLayout, ATernaryTileHoldsWhatItSays) {
    constexpr int32_t kRows = 21;
    constexpr int32_t kColumns = 300;
    Random random(5);
    const AnyMatrix matrix(random, MatrixKind::kTernary, kRows, kColumns);
    std::vector<std::byte> device(static_cast<size_t>(cuda::device_bytes(matrix.host, kRows)));
    cuda::lay_out(matrix.host, 0, kRows, device.data());
    ASSERT_EQ(device.size(), 2u * 4 * cuda::kTernaryTileBytes);  // two groups of rows, four tiles
    std::vector<int8_t> digits(kColumns);
    for (int32_t row = 0; row < 32; ++row) {
        std::vector<int8_t> want(512);
        if (row < kRows) {
            unpack_ternary_row(reinterpret_cast<const uint8_t*>(matrix.bytes.data()) +
                                   row * ternary_row_bytes(kColumns),
                               kColumns, digits.data());
            std::copy(digits.begin(), digits.end(), want.begin());
        }
        for (int32_t k = 0; k < 512; ++k) {
            const int32_t in_lane = k % 32;
            const int32_t lane = row % 8 * 4 + k % 128 / 32;
            const int32_t word = row % 16 / 8 + in_lane / 4 % 2 * 2;
            const int32_t tile = row / 16 * 4 + k / 128;
            const auto byte = static_cast<uint8_t>(
                device[static_cast<size_t>(tile * 512 + lane * 16 + word * 4 + in_lane % 4)]);
            ASSERT_EQ((byte >> in_lane / 8 * 2 & 3) - 1, want[static_cast<size_t>(k)])
                << row << " " << k;
        }
    }
}

std::vector<float> reference_row(const HostMatrix& table, int64_t row) {
    const KernelTable& kernels = reference::kTable;
    const int64_t k = table.columns;
    std::vector<float> out(static_cast<size_t>(k));
    const std::byte* const at = table.data + cuda::device_bytes(table, 1) * row;
    if (table.kind == MatrixKind::kF32) {
        std::memcpy(out.data(), at, out.size() * sizeof(float));
    } else if (table.kind == MatrixKind::kF16) {
        kernels.f16_to_f32(k, reinterpret_cast<const uint16_t*>(at), out.data());
    } else if (table.kind == MatrixKind::kBf16) {
        kernels.bf16_to_f32(k, reinterpret_cast<const Bf16*>(at), out.data());
    } else {
        kernels.block_row(table.block_format, table.columns,
                          reinterpret_cast<const uint8_t*>(table.data), row, out.data());
    }
    return out;
}

TEST(CudaLayout, EmbeddingsAreTheReferencesRows) {
    for_random_shapes(300, [](Random& random) {
        constexpr MatrixKind kKinds[] = {MatrixKind::kF32, MatrixKind::kF16, MatrixKind::kBf16,
                                         MatrixKind::kBlocks};
        const AnyMatrix matrix(random, kKinds[random.in(0, 3)], random.in(1, 70),
                               random.in(1, 1300));
        const int32_t m = random.in(1, 5);
        const float scale = random.one_in(2) ? 1.0f : random.real(50.0f);
        std::vector<cuda::StepRow> rows(static_cast<size_t>(m));
        std::vector<float> want;
        for (cuda::StepRow& row : rows) {
            row.token = static_cast<uint32_t>(random.in(0, matrix.host.rows - 1));
            std::vector<float> one = reference_row(matrix.host, row.token);
            reference::kTable.scale_in_place(matrix.host.columns, scale, one.data());
            want.insert(want.end(), one.begin(), one.end());
        }
        CUstream_st stream;
        std::vector<float> got(want.size());
        table().embed(&stream, m, rows.data(),
                      {.data = matrix.bytes.data(),
                       .kind = matrix.host.kind,
                       .block_format = matrix.host.block_format,
                       .rows = matrix.host.rows,
                       .columns = matrix.host.columns},
                      scale, got.data());
        ASSERT_TRUE(same(got, want));
    });
}

TEST(CudaLayout, PagesAreCopiedWhole) {
    for (const size_t size : {1u, 15u, 16u, 4095u, 4096u, 4097u, 20000u}) {
        Random random(size);
        CUstream_st stream;
        const std::vector<int8_t> from = codes(random, static_cast<int64_t>(size), -128, 127);
        std::vector<int8_t> to(size + 1, int8_t{77});
        table().copy_page(&stream, reinterpret_cast<const std::byte*>(from.data()),
                          reinterpret_cast<std::byte*>(to.data()), static_cast<int64_t>(size));
        EXPECT_EQ(std::vector<int8_t>(to.begin(), to.end() - 1), from);
        EXPECT_EQ(to.back(), 77);
    }
}

}  // namespace
}  // namespace bitnetd::kernels::cuda_emulated
