// Goal: keys and values in eight bits are within half a step of what they were, and attention over
//       them is attention over the numbers they stand for, with every table and head size.
// Method: rows of every length, beside arithmetic in double; tolerances are counted roundings. That
//       tables agree bit for bit on other shapes is tables_test.cc's. Seeds are fixed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "worker/kernels/dispatch.h"
#include "worker/kernels/tables.h"

namespace bitnetd::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kRounding = 0x1p-24;  // of one float operation, relative

struct Int8Row {
    std::vector<int8_t> codes;  // padded to 16
    float scale = 0;
};

Int8Row stored(const KernelTable& table, const std::vector<float>& x) {
    Int8Row row{std::vector<int8_t>((x.size() + 15) / 16 * 16, 77), 77};
    table.quantise_head(static_cast<int32_t>(x.size()), x.data(), row.codes.data(), &row.scale);
    return row;
}

// Keys and values of one sequence in pages, and as the numbers they stand for.
class Sequence {
  public:
    Sequence(const KernelTable& table, int32_t head_dim, int32_t kv_heads, int32_t count,
             int32_t page_tokens, std::mt19937& random)
        : table_(table) {
        view_ = {nullptr, 0, 0, page_tokens, kv_heads, head_dim};
        padded_ = (head_dim + 15) / 16 * 16;
        view_.v_offset = int64_t{kv_heads} * head_bytes();
        // NaN wherever no row is written
        storage_.assign(static_cast<size_t>((count + page_tokens - 1) / page_tokens),
                        Page(static_cast<size_t>(2 * view_.v_offset), std::byte{0xff}));
        for (int32_t p = 0; p < count; ++p) {
            keys_.push_back(add_rows(p, view_.k_offset, random));
            values_.push_back(add_rows(p, view_.v_offset, random));
        }
        for (const Page& page : storage_)
            pages_.push_back(page.data());
        view_.pages = pages_.data();
    }

    const KvView& view() const { return view_; }
    // Element d of a head's key or value at position p.
    double key(int32_t p, int32_t head, int32_t d) const { return at(keys_, p, head, d); }
    double value(int32_t p, int32_t head, int32_t d) const { return at(values_, p, head, d); }

  private:
    using Page = std::vector<std::byte>;
    using Rows = std::vector<std::vector<Int8Row>>;  // [position][head]

    int64_t head_bytes() const { return int64_t{view_.page_tokens} * (padded_ + 4); }
    static double at(const Rows& rows, int32_t p, int32_t head, int32_t d) {
        const Int8Row& row = rows[static_cast<size_t>(p)][static_cast<size_t>(head)];
        return double{row.scale} * row.codes[static_cast<size_t>(d)];
    }

    std::vector<Int8Row> add_rows(int32_t p, int64_t offset, std::mt19937& random) {
        std::vector<Int8Row> rows;
        std::byte* page = storage_[static_cast<size_t>(p / view_.page_tokens)].data() + offset;
        const int32_t in_page = p % view_.page_tokens;
        for (int32_t head = 0; head < view_.kv_heads; ++head, page += head_bytes()) {
            std::vector<float> x(static_cast<size_t>(view_.head_dim));
            for (float& value : x)
                value = std::normal_distribution<float>()(random);
            rows.push_back(stored(table_, x));
            std::memcpy(page + int64_t{in_page} * padded_, rows.back().codes.data(),
                        rows.back().codes.size());
            std::memcpy(page + int64_t{view_.page_tokens} * padded_ + 4 * int64_t{in_page},
                        &rows.back().scale, sizeof(float));
        }
        return rows;
    }

    const KernelTable& table_;
    KvView view_{};
    int32_t padded_;
    std::vector<Page> storage_;
    std::vector<const std::byte*> pages_;
    Rows keys_, values_;
};

class Int8Attention : public ::testing::TestWithParam<const KernelTable*> {
  protected:
    const KernelTable& table() const { return *GetParam(); }
};

TEST_P(Int8Attention, RowsAreWithinHalfAStep) {
    std::mt19937 random(11);
    for (int32_t head_dim = 1; head_dim <= 300; ++head_dim) {
        std::vector<float> x(static_cast<size_t>(head_dim));
        for (float& value : x)
            value = std::ldexp(std::normal_distribution<float>()(random), head_dim % 60 - 40);
        const Int8Row row = stored(table(), x);
        const Int8Row want = stored(reference::kTable, x);
        ASSERT_EQ(row.codes, want.codes) << head_dim;
        ASSERT_EQ(row.scale, want.scale) << head_dim;
        int largest = 0;
        for (size_t t = 0; t < row.codes.size(); ++t) {
            largest = std::max(largest, std::abs(int{row.codes[t]}));
            if (t >= x.size()) {
                ASSERT_EQ(row.codes[t], 0) << head_dim;
                continue;
            }
            // 127 / largest, its product with x and the scale are rounded once each.
            const double step = row.scale;
            ASSERT_LE(std::fabs(step * row.codes[t] - double{x[t]}),
                      step * (0.5 + 127 * 3 * kRounding))
                << head_dim;
        }
        ASSERT_EQ(largest, 127) << head_dim;
    }
}

// With a largest number of 127 a step is 1, so that halves are ties.
TEST_P(Int8Attention, TiesGoToEven) {
    const Int8Row row = stored(table(), {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 126.5f, -127});
    EXPECT_EQ(row.scale, 1.0f);
    const std::vector<int8_t> want = {127, 0, 2, 2, 0, -2, -2, 126, -127, 0, 0, 0, 0, 0, 0, 0};
    EXPECT_EQ(row.codes, want);
}

TEST_P(Int8Attention, NothingIsZeroAndWhatIsNoNumberShows) {
    for (const float speck : {0.0f, -0.0f, 0x1p-149f, -0x1.fffffep-101f}) {
        const Int8Row row = stored(table(), std::vector<float>(40, speck));
        EXPECT_EQ(row.scale, 0.0f) << speck;
        EXPECT_EQ(row.codes, std::vector<int8_t>(48, 0)) << speck;
    }
    const Int8Row least = stored(table(), {kBlockFloor, 0.0f});
    EXPECT_EQ(least.scale, kBlockFloor / 127.0f);
    EXPECT_EQ(least.codes[0], 127);
    const Int8Row most = stored(table(), {-std::numeric_limits<float>::max(), 1.0f});
    EXPECT_EQ(most.codes[0], -127);
    EXPECT_TRUE(std::isfinite(most.scale));
    for (const float wrong : {kInfinity, -kInfinity, std::nanf("")}) {
        for (const size_t at : {0u, 15u, 16u, 32u}) {
            std::vector<float> x(33, 1.0f);
            x[at] = wrong;
            EXPECT_TRUE(std::isnan(stored(table(), x).scale)) << wrong << " at " << at;
        }
    }
}

// Attention in double over what the rows stand for. With S = the largest sum of |q k| * scale of a
// position and n positions: a score is off by at most (head_dim / 16 + 6) roundings of S, so a
// weight by twice that, relatively, beside the exponential's 2^-22; sums of n weights and of n
// products round n times each, and once per page and a few times more.
TEST_P(Int8Attention, IsAttentionOverWhatTheRowsStandFor) {
    std::mt19937 random(12);
    constexpr int32_t kHeads = 6;
    constexpr int32_t kKvHeads = 2;
    constexpr int32_t kCount = 75;
    constexpr int32_t kFirst = 3;
    for (const int32_t head_dim : {1, 16, 20, 64, 128}) {
        const Sequence sequence(table(), head_dim, kKvHeads, kCount, 32, random);
        std::vector<float> q(static_cast<size_t>(kHeads * head_dim));
        for (float& value : q)
            value = std::normal_distribution<float>()(random);
        std::vector<float> out(q.size());
        const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
        table().attention_int8(sequence.view(), kHeads, 0, kHeads, kFirst, kCount, scale, q.data(),
                               out.data());
        for (int32_t h = 0; h < kHeads; ++h) {
            const int32_t kv_head = h / (kHeads / kKvHeads);
            std::vector<double> sum(static_cast<size_t>(head_dim));
            double weights = 0;
            double largest_score = 0;
            double largest_value = 0;
            for (int32_t p = kFirst; p < kCount; ++p) {
                double score = 0;
                double magnitude = 0;
                for (int32_t d = 0; d < head_dim; ++d) {
                    const double term = double{q[static_cast<size_t>(h * head_dim + d)]} *
                                        sequence.key(p, kv_head, d) * double{scale};
                    score += term;
                    magnitude += std::fabs(term);
                }
                largest_score = std::max(largest_score, magnitude);
                weights += std::exp(score);
                for (int32_t d = 0; d < head_dim; ++d) {
                    const double value = sequence.value(p, kv_head, d);
                    largest_value = std::max(largest_value, std::fabs(value));
                    sum[static_cast<size_t>(d)] += std::exp(score) * value;
                }
            }
            const double score_error = (head_dim / 16 + 6) * kRounding * largest_score;
            const double error = 4 * score_error + 0x1p-21 + (2 * kCount + 16) * kRounding;
            for (int32_t d = 0; d < head_dim; ++d) {
                ASSERT_NEAR(out[static_cast<size_t>(h * head_dim + d)],
                            sum[static_cast<size_t>(d)] / weights, error * largest_value)
                    << "head_dim " << head_dim << " head " << h << " element " << d;
            }
        }
    }
}

// Every tail of a head, of a page and of a group of heads, bit for bit.
TEST_P(Int8Attention, EveryHeadSizeGivesTheReferencesBits) {
    std::mt19937 random(13);
    for (int32_t head_dim = 1; head_dim <= 66; ++head_dim) {
        const int32_t count = 1 + head_dim * 7 % 90;
        const int32_t page_tokens = head_dim % 3 == 0 ? 32 : 1 + head_dim % 19;
        const int32_t heads = 1 + head_dim % 9;
        const Sequence sequence(table(), head_dim, 1, count, page_tokens, random);
        std::vector<float> q(static_cast<size_t>(heads * head_dim));
        for (float& value : q)
            value = std::normal_distribution<float>()(random);
        std::vector<float> out(q.size());
        std::vector<float> want(q.size());
        const int32_t first = count / 3;
        table().attention_int8(sequence.view(), heads, 0, heads, first, count, 0.3f, q.data(),
                               out.data());
        reference::kTable.attention_int8(sequence.view(), heads, 0, heads, first, count, 0.3f,
                                         q.data(), want.data());
        ASSERT_EQ(out, want) << "head_dim " << head_dim;
    }
}

INSTANTIATE_TEST_SUITE_P(Usable, Int8Attention,
                         ::testing::ValuesIn(usable_tables().begin(), usable_tables().end()),
                         [](const auto& tested) { return std::string(tested.param->name); });

}  // namespace
}  // namespace bitnetd::kernels
