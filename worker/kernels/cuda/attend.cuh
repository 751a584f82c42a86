// The entry `attend`: attention of a step's rows over their sequences' pages, for decoding and
// prefill. kernel_api.h's Attention, bit for bit: page after page with an online softmax, sums in
// order of position; so a sequence is never split, and what runs side by side are heads, rows,
// positions of a page in its scores and dimensions in its sums.
//
// A block takes up to 16 queries that share keys and values: the heads of one kv head, of a run of
// neighbouring rows that continue one sequence. Block (i, h) is that of the run that begins at row
// i; where row i continues one, it leaves at once. Runs end at multiples of rows_each, so a block
// is never larger, and a query's arithmetic does not depend on the others of its block.
//   keys    to shared memory by asynchronous copies, a tile ahead, each loaded once per block
//   values  to registers, thread d its dimension, a page's loads issued before its scores
//   shared memory  queries 16 x (head_dim + 4) floats, two tiles of keys of at most 9 KiB, 5 KiB
// Decoding is bound by the latency of a page (three barriers), long contexts of few sequences
// above all; prefill by loads from shared memory, 8 for 64 fma. Not measured on a device yet.
#pragma once

#include "worker/kernels/cuda/attend_page.cuh"

namespace bitnetd::kernels::cuda {
namespace {

// A thread for each dimension, in steps of 128. Up to 256 of them have registers for all they keep.
inline constexpr int32_t kAttendThreadsEach = 128;
inline constexpr int32_t kAttendThreadsRoomy = 256;
inline constexpr int32_t kAttendThreadsMax = kHeadDimMax;
inline constexpr int32_t kHeadsMax = 8;  // heads of a block
inline constexpr int32_t kKeyTileBytes = 9 * 1024;

struct AttendShape {
    Pages pages;
    int32_t m;
    int32_t heads;
    int32_t heads_each;   // of a block
    int32_t head_blocks;  // of a kv head
    int32_t rows_each;
    uint32_t window;
    float scale;
    int32_t q_stride;        // floats
    int32_t key_stride;      // bytes, a little more than a row, so that positions use other banks
    int32_t tile_positions;  // of keys: 32, 16, 8 or 4
};

BITNETD_DEVICE bool continues(const StepRow* rows, int32_t i, const AttendShape& shape) {
    return i % shape.rows_each != 0 && rows[i].table == rows[i - 1].table &&
           rows[i].position == rows[i - 1].position + 1;
}

// The queries of a block: query r * heads + h is head first_head + h of row first_row + r.
struct Queries {
    int32_t first_row;
    int32_t rows;
    int32_t first_head;
    int32_t heads;
    int32_t kv_head;
    uint32_t position;  // of the first row
    uint32_t window;

    BITNETD_DEVICE int32_t count() const { return rows * heads; }
    // Where a query's q, and its result, begin.
    BITNETD_DEVICE int64_t at(int32_t query, const AttendShape& shape) const {
        const int64_t row = first_row + query / heads;
        return (row * shape.heads + first_head + query % heads) * shape.pages.head_dim;
    }
    // The positions of page `page` that a query attends to.
    BITNETD_DEVICE Span span(int32_t query, int32_t page) const {
        const uint32_t count = position + static_cast<uint32_t>(query / heads) + 1;
        const uint32_t first = window == 0 || count < window ? 0 : count - window;
        const int64_t before = int64_t{page} * kPagePositions;
        const int64_t begin = int64_t{first} - before;
        const int64_t end = int64_t{count} - before;
        return {static_cast<int32_t>(begin > 0 ? begin : 0),
                static_cast<int32_t>(end < kPagePositions ? end : kPagePositions)};
    }
    BITNETD_DEVICE int32_t first_page() const {
        const uint32_t first = window == 0 || position + 1 < window ? 0 : position + 1 - window;
        return static_cast<int32_t>(first / kPagePositions);
    }
    BITNETD_DEVICE int32_t last_page() const {
        const uint32_t last = position + static_cast<uint32_t>(rows) - 1;
        return static_cast<int32_t>(last / kPagePositions);
    }
    // Whether all queries attend to the whole page: the first row sees least, the last one from
    // furthest on.
    BITNETD_DEVICE bool all_of(int32_t page) const {
        return span(0, page).end == kPagePositions && span(count() - 1, page).begin == 0;
    }
};

BITNETD_DEVICE Queries queries_of(const StepRow* rows, const AttendShape& shape) {
    const int32_t per_kv = shape.heads / shape.pages.kv_heads;
    Queries of{};
    of.first_row = block_x();
    of.rows = 1;
    while (of.first_row + of.rows < shape.m && continues(rows, of.first_row + of.rows, shape))
        ++of.rows;
    of.kv_head = block_y() / shape.head_blocks;
    const int32_t before = block_y() % shape.head_blocks * shape.heads_each;
    of.first_head = of.kv_head * per_kv + before;
    of.heads = per_kv - before < shape.heads_each ? per_kv - before : shape.heads_each;
    of.position = rows[of.first_row].position;
    of.window = shape.window;
    return of;
}

// A block's walk over the keys of its pages, tile by tile: turn 0, 1, ...
template <typename T>
class KeyTiles {
  public:
    // shared: two tiles.
    BITNETD_DEVICE KeyTiles(const AttendShape& shape, const StepRow& row, const Queries& of,
                            std::byte* shared)
        : shape_(shape),
          row_(row),
          kv_head_(of.kv_head),
          first_page_(of.first_page()),
          parts_(kPagePositions / shape.tile_positions),
          turns_((of.last_page() - first_page_ + 1) * parts_),
          shared_(shared) {}

    BITNETD_DEVICE int32_t turns() const { return turns_; }
    BITNETD_DEVICE int32_t page(int32_t turn) const { return first_page_ + turn / parts_; }
    BITNETD_DEVICE bool begins_page(int32_t turn) const { return turn % parts_ == 0; }
    BITNETD_DEVICE bool ends_page(int32_t turn) const { return (turn + 1) % parts_ == 0; }
    BITNETD_DEVICE HeadRows<T> rows(int32_t turn, int64_t offset) const {
        return {shape_.pages, row_, page(turn), offset, kv_head_};
    }

    // Begins the copies of a turn, if there is one; they are a group of copies either way.
    BITNETD_DEVICE void begin_copy(int32_t turn) const {
        if (turn < turns_) {
            constexpr int32_t kCopyValues = 16 / sizeof(T);
            const int32_t copies = HeadRows<T>::row_values(shape_.pages) / kCopyValues;
            const HeadRows<T> keys = rows(turn, shape_.pages.k_offset);
            for (int32_t c = thread_index(); c < shape_.tile_positions * copies;
                 c += thread_count()) {
                const int32_t p = c / copies;
                const int32_t column = c % copies;
                copy_async(tile(turn) + p * shape_.key_stride + column * 16,
                           keys.row(first_position(turn) + p) + column * kCopyValues, true);
            }
        }
        copy_commit();
    }

    // Scores of a turn that was copied. q [queries][q_stride], in shared memory.
    BITNETD_DEVICE void score(QueryState& state, int32_t turn, const float* q,
                              int32_t queries) const {
        const int32_t groups = thread_count() / shape_.tile_positions;
        const int32_t p = thread_index() % shape_.tile_positions;
        const int32_t group = thread_index() / shape_.tile_positions;
        if (group >= queries) return;
        const int32_t mine = divided_up(queries - group, groups);
        const int32_t in_page = first_position(turn) + p;
        ScoreSums<T> sums;
        sums.add_row(reinterpret_cast<const T*>(tile(turn) + p * shape_.key_stride),
                     q + group * shape_.q_stride, groups * shape_.q_stride, mine,
                     shape_.pages.head_dim);
        BITNETD_UNROLL
        for (int32_t i = 0; i < kThreadQueries; ++i) {
            if (i >= mine) break;
            float product = sums.total(i);
            if constexpr (HeadRows<T>::kScaled)
                product = product * rows(turn, shape_.pages.k_offset).scale(in_page);
            state.score[group + i * groups][in_page] = product * shape_.scale;
        }
    }

  private:
    BITNETD_DEVICE int32_t first_position(int32_t turn) const {
        return turn % parts_ * shape_.tile_positions;
    }
    BITNETD_DEVICE std::byte* tile(int32_t turn) const {
        return shared_ + turn % 2 * (shape_.tile_positions * shape_.key_stride);
    }

    const AttendShape& shape_;
    const StepRow row_;
    const int32_t kv_head_;
    const int32_t first_page_;
    const int32_t parts_;
    const int32_t turns_;
    std::byte* const shared_;
};

BITNETD_DEVICE void load_queries(const AttendShape& shape, const Queries& of, const float* q,
                                 float* to) {
    for (int32_t query = 0; query < of.count(); ++query) {
        const float* const from = q + of.at(query, shape);
        for (int32_t d = thread_index(); d < shape.pages.head_dim; d += thread_count())
            to[query * shape.q_stride + d] = from[d];
    }
}

template <typename T, int32_t kThreadsMax>
BITNETD_KERNEL(kThreadsMax)
void attend_kernel(AttendShape shape, const StepRow* rows, const float* q, float* out) {
    BITNETD_SHARED QueryState state;
    wait_for_earlier_launches();
    if (continues(rows, block_x(), shape)) return;
    const Queries of = queries_of(rows, shape);
    const KeyTiles<T> tiles(shape, rows[of.first_row], of, dynamic_shared());
    auto* const my_q =
        reinterpret_cast<float*>(dynamic_shared() + 2 * shape.tile_positions * shape.key_stride);
    const int32_t d = thread_index();
    const bool has_dimension = d < shape.pages.head_dim;

    Softmax softmax;
    ValueSums<T> sums;
    tiles.begin_copy(0);
    load_queries(shape, of, q, my_q);
    for (int32_t turn = 0; turn < tiles.turns(); ++turn) {
        const int32_t page = tiles.page(turn);
        const HeadRows<T> values = tiles.rows(turn, shape.pages.v_offset);
        if (tiles.begins_page(turn) && has_dimension) sums.load(values, d);
        tiles.begin_copy(turn + 1);
        copy_wait<1>();
        block_barrier();  // all of the tile is there, and of q
        tiles.score(state, turn, my_q, of.count());
        block_barrier();
        if (!tiles.ends_page(turn)) continue;
        const auto span_of = [&](int32_t query) { return of.span(query, page); };
        softmax.take(state, of.count(), values, span_of);
        block_barrier();
        if (has_dimension) sums.take(state, of.count(), of.all_of(page), span_of);
    }
    softmax.finish(state, of.count());
    block_barrier();
    if (!has_dimension) return;
    BITNETD_UNROLL
    for (int32_t i = 0; i < kQueriesMax; ++i) {
        if (i < of.count()) out[of.at(i, shape) + d] = sums.acc[i] * state.share[i];
    }
}

AttendShape shape_of(int32_t m, const Pages& pages, int32_t heads, uint32_t window, float scale) {
    const int32_t per_kv = heads / pages.kv_heads;
    const int32_t row_values = divided_up(pages.head_dim, 16) * 16;
    AttendShape shape{};
    shape.pages = pages;
    shape.m = m;
    shape.heads = heads;
    shape.heads_each = per_kv < kHeadsMax ? per_kv : kHeadsMax;
    shape.head_blocks = divided_up(per_kv, shape.heads_each);
    shape.rows_each = kQueriesMax / shape.heads_each;
    shape.window = window;
    shape.scale = scale;
    shape.q_stride = row_values + 4;
    shape.key_stride = row_values * pages.value_bytes + 16;
    shape.tile_positions = kPagePositions;
    while (shape.tile_positions * shape.key_stride > kKeyTileBytes)
        shape.tile_positions /= 2;
    return shape;
}

// Pages have 32 positions (worker/kv/kv_layout.h).
void attend(Stream stream, int32_t m, const StepRow* rows, const Pages& pages, int32_t heads,
            uint32_t window, float scale, const float* q, float* out) noexcept {
    const AttendShape shape = shape_of(m, pages, heads, window, scale);
    const Grid grid{static_cast<uint32_t>(m),
                    static_cast<uint32_t>(pages.kv_heads * shape.head_blocks)};
    const int32_t threads = divided_up(pages.head_dim, kAttendThreadsEach) * kAttendThreadsEach;
    const int32_t bytes = 2 * shape.tile_positions * shape.key_stride +
                          shape.rows_each * shape.heads_each * shape.q_stride * 4;
    with_stored_type(pages, [&]<typename T>() {
        const auto kernel = threads <= kAttendThreadsRoomy ? attend_kernel<T, kAttendThreadsRoomy>
                                                           : attend_kernel<T, kAttendThreadsMax>;
        launch(stream, grid, threads, static_cast<size_t>(bytes), kernel, shape, rows, q, out);
    });
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
