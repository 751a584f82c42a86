// Goal: what rotate_and_store writes and what attend makes of it are the reference's bits, for
//       every form of page, head size, grouping of heads, window, and mixture of rows in a step.
// Method: random steps over the emulation: sequences with a past of random rows, each with one or
//       several rows in either order, taking turns, beside the reference table row by row. Pages
//       are NaN wherever nothing is stored, and absent before a window. Then infinities among
//       queries and values.
#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>

#include "tests/property/worker/kernels/cuda/random_shapes.h"
#include "tests/support/cuda/emulated_table.h"
#include "tests/support/cuda/stream.h"
#include "worker/kernels/tables.h"
#include "worker/kv/kv_layout.h"

namespace bitnetd::kernels::cuda_emulated {
namespace {

using bitnetd::KvType;
using worker::kPageTokens;
using worker::KvLayout;
using worker::KvShape;

const KernelTable& plain() {
    return reference::kTable;
}

struct AlignedDelete {
    void operator()(std::byte* memory) const { std::free(memory); }
};
using PageMemory = std::unique_ptr<std::byte, AlignedDelete>;

// A step of several sequences, whose pages exist twice: for the device and for the reference.
struct Step {
    KvLayout layout;
    int32_t heads;
    uint32_t window;
    int32_t table_pages = 0;
    std::vector<PageMemory> storage = {};
    std::vector<std::byte*> pages[2] = {};  // [sequence][table_pages]; null before a window
    std::vector<cuda::StepRow> rows = {};
    std::vector<uint32_t> past = {};  // of each sequence: positions stored before

    const KvShape& shape() const { return layout.shape(); }
    int32_t head_dim() const { return static_cast<int32_t>(shape().head_dim); }
    int32_t kv_heads() const { return static_cast<int32_t>(shape().kv_heads); }
    int32_t row_count() const { return static_cast<int32_t>(rows.size()); }
    // The layer that is used: not the first, so that offsets count.
    int64_t k_offset() const { return static_cast<int64_t>(layout.k_offset(1)); }
    int64_t v_offset() const { return static_cast<int64_t>(layout.v_offset(1)); }
    cuda::Pages device_pages() const {
        return {.tables = pages[0].data(),
                .table_pages = table_pages,
                .page_tokens = kPageTokens,
                .kv_heads = kv_heads(),
                .head_dim = head_dim(),
                .value_bytes = static_cast<int32_t>(format_of(shape().type).value_bytes),
                .k_offset = k_offset(),
                .v_offset = v_offset()};
    }
    std::byte* page(int side, const cuda::StepRow& row, uint32_t position) const {
        return pages[side][row.table * static_cast<uint32_t>(table_pages) + position / kPageTokens];
    }
};

void fill(Step& step, int side, const cuda::StepRow& row, uint32_t position, int64_t offset,
          const float* x) {
    std::byte* const half = step.page(side, row, position) + offset;
    const int32_t head_dim = step.head_dim();
    for (uint32_t head = 0; head < step.shape().kv_heads; ++head, x += head_dim) {
        std::byte* const to = half + step.layout.row_offset(head, position);
        const size_t values_bytes = format_of(step.shape().type).value_bytes;
        std::memset(to, 0, step.layout.head_dim_padded() * values_bytes);
        if (step.shape().type == KvType::kF32) {
            std::memcpy(to, x, static_cast<size_t>(head_dim) * sizeof(float));
        } else if (step.shape().type == KvType::kF16) {
            plain().f32_to_f16(head_dim, x, reinterpret_cast<uint16_t*>(to));
        } else {
            plain().quantise_head(
                head_dim, x, reinterpret_cast<int8_t*>(to),
                reinterpret_cast<float*>(half + step.layout.scale_offset(head, position)));
        }
    }
}

KvShape random_shape(Random& random) {
    constexpr uint32_t kHeadDims[] = {1, 8, 16, 20, 32, 64, 80, 100, 128, 130, 256, 512};
    constexpr KvType kTypes[] = {KvType::kF32, KvType::kF16, KvType::kInt8};
    return {.layers = 2,
            .kv_heads = static_cast<uint32_t>(random.in(1, 3)),
            .head_dim = kHeadDims[random.in(0, random.one_in(8) ? 11 : 8)],
            .type = kTypes[random.in(0, 2)]};
}

void add_page(Step& step) {
    const size_t bytes = step.layout.page_bytes();
    for (int side = 0; side < 2; ++side) {
        auto* memory = static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
        std::memset(memory, 0xff, bytes);  // NaN, as float and as half
        step.storage.emplace_back(memory);
        step.pages[side].push_back(memory);
    }
}

Step random_step(Random& random, uint32_t past_max) {
    const KvShape shape = random_shape(random);
    const int32_t per_kv = random.one_in(6) ? random.in(9, 20) : random.in(1, 8);
    Step step{.layout = KvLayout(shape),
              .heads = static_cast<int32_t>(shape.kv_heads) * per_kv,
              .window = random.one_in(2) ? 0 : static_cast<uint32_t>(random.in(1, 70))};
    const int sequences = random.in(1, 4);
    const int32_t longest = random.one_in(3) ? random.in(5, 40) : 4;
    std::vector<std::vector<cuda::StepRow>> parts;
    for (int s = 0; s < sequences; ++s) {
        const auto past = static_cast<uint32_t>(random.in(0, static_cast<int32_t>(past_max)));
        step.past.push_back(past);
        std::vector<cuda::StepRow> part;
        for (int32_t i = 0, count = random.in(1, longest); i < count; ++i)
            part.push_back({0, past + static_cast<uint32_t>(i), static_cast<uint32_t>(s), 0});
        if (random.one_in(4)) std::reverse(part.begin(), part.end());
        parts.push_back(part);
    }
    step.table_pages = static_cast<int32_t>((past_max + 40) / kPageTokens + 1);
    for (int32_t i = 0; i < sequences * step.table_pages; ++i)
        add_page(step);
    while (!parts.empty()) {  // in random order, now and then interrupted by another's rows
        const auto at = static_cast<size_t>(random.in(0, static_cast<int32_t>(parts.size()) - 1));
        const size_t count = random.one_in(3) ? 1 : parts[at].size();
        for (size_t i = 0; i < count; ++i)
            step.rows.push_back(parts[at][i]);
        parts[at].erase(parts[at].begin(), parts[at].begin() + static_cast<ptrdiff_t>(count));
        if (parts[at].empty()) parts.erase(parts.begin() + static_cast<ptrdiff_t>(at));
    }
    return step;
}

// Earlier positions, in both sides' pages.
void add_past(Step& step, Random& random) {
    const int64_t count = int64_t{step.kv_heads()} * step.head_dim();
    for (uint32_t s = 0; s < step.past.size(); ++s) {
        const cuda::StepRow row{0, 0, s, 0};
        for (uint32_t position = 0; position < step.past[s]; ++position) {
            for (const int64_t offset : {step.k_offset(), step.v_offset()}) {
                const std::vector<float> x = values(random, count);
                for (int side = 0; side < 2; ++side)
                    fill(step, side, row, position, offset, x.data());
            }
        }
    }
}

// Pages that no row of the step may look at are taken away from the device.
void hide_what_windows_passed(Step& step) {
    if (step.window == 0) return;
    for (uint32_t s = 0; s < step.past.size(); ++s) {
        const uint32_t count = step.past[s] + 1;
        const uint32_t first = count < step.window ? 0 : count - step.window;
        for (uint32_t page = 0; page < first / kPageTokens; ++page)
            step.pages[0][s * static_cast<uint32_t>(step.table_pages) + page] = nullptr;
    }
}

struct Heads {
    std::vector<float> q, k, v;
};

void rotate_plainly(Step& step, int32_t n_rot, bool is_neox, const std::vector<float>& cos_sin,
                    Heads& heads) {
    const auto rope = is_neox ? plain().rope_neox : plain().rope_norm;
    const int32_t head_dim = step.head_dim();
    for (int32_t i = 0; i < step.row_count(); ++i) {
        const cuda::StepRow& row = step.rows[static_cast<size_t>(i)];
        const float* const at = cos_sin.data() + row.position * static_cast<uint32_t>(n_rot);
        float* const k = heads.k.data() + int64_t{i} * step.kv_heads() * head_dim;
        rope(step.heads, head_dim, n_rot, at, heads.q.data() + int64_t{i} * step.heads * head_dim);
        rope(step.kv_heads(), head_dim, n_rot, at, k);
        fill(step, 1, row, row.position, step.k_offset(), k);
        fill(step, 1, row, row.position, step.v_offset(),
             heads.v.data() + int64_t{i} * step.kv_heads() * head_dim);
    }
}

// Both sides' pages, but for those that were taken away.
void expect_same_pages(const Step& step) {
    for (size_t i = 0; i < step.pages[0].size(); ++i) {
        if (step.pages[0][i] == nullptr) continue;
        ASSERT_EQ(std::memcmp(step.pages[0][i], step.pages[1][i], step.layout.page_bytes()), 0)
            << "page " << i;
    }
}

std::vector<float> attend_plainly(const Step& step, float scale, const std::vector<float>& q) {
    Attention attention = plain().attention_int8;
    if (step.shape().type == KvType::kF32) attention = plain().attention_f32;
    if (step.shape().type == KvType::kF16) attention = plain().attention_f16;
    std::vector<float> out(q.size());
    for (int32_t i = 0; i < step.row_count(); ++i) {
        const cuda::StepRow& row = step.rows[static_cast<size_t>(i)];
        const KvView view{
            .pages = step.pages[1].data() + row.table * static_cast<uint32_t>(step.table_pages),
            .k_offset = step.k_offset(),
            .v_offset = step.v_offset(),
            .page_tokens = kPageTokens,
            .kv_heads = step.kv_heads(),
            .head_dim = step.head_dim()};
        const auto count = static_cast<int32_t>(row.position + 1);
        const auto window = static_cast<int32_t>(step.window);
        const int32_t first = window == 0 || count < window ? 0 : count - window;
        const int64_t at = int64_t{i} * step.heads * step.head_dim();
        attention(view, step.heads, 0, step.heads, first, count, scale, q.data() + at,
                  out.data() + at);
    }
    return out;
}

// Stores a step's rows and attends to them, both ways. change: makes of its rows what it wants.
template <typename Change>
void check_step(Random& random, uint32_t past_max, const Change& change) {
    Step step = random_step(random, past_max);
    add_past(step, random);
    hide_what_windows_passed(step);
    const int32_t head_dim = step.head_dim();
    const int32_t n_rot = random.one_in(3) ? head_dim / 4 * 2 : head_dim / 2 * 2;
    const std::vector<float> cos_sin =
        values(random, int64_t{step.table_pages} * kPageTokens * n_rot + 1);
    const int64_t kv_count = int64_t{step.row_count()} * step.kv_heads() * head_dim;
    Heads got{values(random, int64_t{step.row_count()} * step.heads * head_dim),
              values(random, kv_count), values(random, kv_count)};
    change(got);
    Heads want = got;
    const bool is_neox = random.one_in(2);
    CUstream_st stream;
    table().rotate_and_store(&stream, step.row_count(), step.rows.data(), step.device_pages(),
                             step.heads, n_rot, is_neox, cos_sin.data(), got.q.data(), got.k.data(),
                             got.v.data());
    rotate_plainly(step, n_rot, is_neox, cos_sin, want);
    expect_same(got.q, want.q, "rotated q");
    expect_same(got.k, want.k, "rotated k");
    if (!::testing::Test::HasFailure()) expect_same_pages(step);

    const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
    std::vector<float> out(got.q.size() + kGuard, 77.0f);
    table().attend(&stream, step.row_count(), step.rows.data(), step.device_pages(), step.heads,
                   step.window, scale, got.q.data(), out.data());
    std::vector<float> expected = attend_plainly(step, scale, want.q);
    expected.resize(out.size(), 77.0f);
    expect_same(out, expected, "attention");
}

TEST(CudaAttend, AgreesWithTheReference) {
    for_random_shapes(600, [](Random& random) {
        check_step(random, random.one_in(3) ? 150 : 40, [](Heads&) {});
    });
}

// Scores that are infinite or NaN come out as they do on the CPU, and rows that do not see them are
// as they were.
TEST(CudaAttend, WhatIsNotANumberStaysWhereItIs) {
    for_random_shapes(100, [](Random& random) {
        check_step(random, 40, [&](Heads& heads) {
            constexpr float kBad[] = {std::numeric_limits<float>::infinity(),
                                      -std::numeric_limits<float>::infinity(), 3e38f, -0.0f};
            std::vector<float>& some = random.one_in(2) ? heads.q : heads.v;
            some[static_cast<size_t>(random.next()) % some.size()] = kBad[random.in(0, 3)];
        });
    });
}

}  // namespace
}  // namespace bitnetd::kernels::cuda_emulated
