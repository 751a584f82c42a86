#include "worker/gpu/gpu_engine.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <utility>

#include "common/base/check.h"

namespace bitnetd::worker {

using kernels::cuda::Largest;
using kernels::cuda::PlainDraw;
using kernels::cuda::StepRow;

GpuEngine::GpuEngine(const Parts& parts, std::unique_ptr<GpuPass> pass)
    : device_(parts.device),
      kernels_(parts.kernels),
      step_timeout_ns_(parts.step_timeout_ns),
      on_lost_(parts.on_lost),
      vocab_(parts.weights.header.vocab),
      hidden_(parts.weights.header.hidden),
      pass_(std::move(pass)),
      row_buckets_(parts.step_tokens_max),
      draw_buckets_(std::min(parts.step_tokens_max, kDrawRowsMax)),
      sampler_(vocab_) {
    ways_.reserve(draw_buckets_.sizes().back());
    among_.reserve(kernels::cuda::kLargestMax);
}

Result<std::unique_ptr<GpuEngine>> GpuEngine::make(const Parts& parts, const KvLayout& layout) {
    BITNETD_ASSIGN(auto pass, GpuPass::make({.device = parts.device,
                                             .kernels = parts.kernels,
                                             .weights = parts.weights,
                                             .layout = layout,
                                             .rows_max = parts.step_tokens_max}));
    std::unique_ptr<GpuEngine> engine(new GpuEngine(parts, std::move(pass)));
    BITNETD_TRY(engine->allocate(layout));
    return engine;
}

Result<void> GpuEngine::allocate(const KvLayout& layout) {
    const uint64_t rows = row_buckets_.sizes().back();
    const uint64_t draws = draw_buckets_.sizes().back();
    BITNETD_ASSIGN(spare_page_, device_.allocate(layout.page_bytes()));
    BITNETD_ASSIGN(host_rows_, device_.host_array<StepRow>(rows));
    BITNETD_ASSIGN(draw_rows_, device_.array<uint32_t>(draws));
    BITNETD_ASSIGN(host_draw_rows_, device_.host_array<uint32_t>(draws));
    BITNETD_ASSIGN(largest_, device_.array<Largest>(draws));
    BITNETD_ASSIGN(host_largest_, device_.host_array<Largest>(draws));
    BITNETD_ASSIGN(plain_, device_.array<PlainDraw>(draws));
    BITNETD_ASSIGN(host_plain_, device_.host_array<PlainDraw>(draws));
    BITNETD_ASSIGN(normed_, device_.array<float>(rows * hidden_));
    BITNETD_ASSIGN(host_hidden_, device_.host_array<float>(rows * hidden_));
    BITNETD_ASSIGN(logits_, device_.array<float>(draws * vocab_));
    BITNETD_ASSIGN(host_logits_, device_.host_array<float>(draws * vocab_));
    BITNETD_ASSIGN(all_rows_, device_.array<uint32_t>(rows));
    BITNETD_ASSIGN(uint32_t* const numbers, device_.host_array<uint32_t>(rows));
    std::iota(numbers, numbers + rows, 0u);
    device_.upload(numbers, all_rows_, rows * sizeof(uint32_t));
    return device_.wait(step_timeout_ns_);
}

// Graphs are made from the largest to the smallest, so that one that does not fit is found first.
Result<void> GpuEngine::use(const KvCache& cache) {
    cache_ = &cache;
    const uint64_t entries = cache.tables().size() + cache.table_pages();
    BITNETD_ASSIGN(tables_, device_.array<std::byte*>(entries));
    BITNETD_ASSIGN(host_tables_, device_.host_array<std::byte*>(entries));
    mirror_.emplace(std::span(host_tables_, entries), cache.table_pages());
    mirror_->update(static_cast<uint32_t>(cache.tables().size() / cache.table_pages()),
                    &spare_page_, 1);
    device_.upload(host_tables_, tables_, entries * sizeof(std::byte*));
    pass_->use_tables(tables_, cache.table_pages());
    row_graphs_.resize(row_buckets_.sizes().size());
    for (size_t i = row_graphs_.size(); i-- > 0;) {
        const uint32_t rows = row_buckets_.sizes()[i];
        BITNETD_ASSIGN(row_graphs_[i], device_.capture([&] { pass_->run(rows); }));
    }
    draw_graphs_.resize(draw_buckets_.sizes().size());
    for (size_t i = draw_graphs_.size(); i-- > 0;) {
        const uint32_t draws = draw_buckets_.sizes()[i];
        BITNETD_ASSIGN(draw_graphs_[i], device_.capture([&] { queue_draws(draws); }));
    }
    return device_.wait(step_timeout_ns_);
}

void GpuEngine::queue_draws(uint32_t count) noexcept {
    pass_->final_norm(count, draw_rows_, normed_);
    pass_->logits(count, normed_, logits_);
    const auto draws = static_cast<int32_t>(count);
    const auto vocab = static_cast<int32_t>(vocab_);
    kernels_.largest(device_.stream(), draws, vocab, logits_, largest_);
    kernels_.draw(device_.stream(), draws, vocab, logits_, plain_);
}

void GpuEngine::wait() noexcept {
    const auto done = device_.wait(step_timeout_ns_);
    if (done.ok()) return;
    on_lost_(done.error());
    std::abort();  // on_lost ends the process
}

void GpuEngine::step(std::span<const Row> rows, std::span<const Draw> draws) noexcept {
    BITNETD_CHECK(cache_ != nullptr && rows.size() <= row_buckets_.sizes().back());
    rows_ = static_cast<uint32_t>(rows.size());
    has_hidden_ = false;
    put_tables(rows);
    put_rows(rows);
    device_.launch(row_graphs_[row_buckets_.index_of(rows_)]);
    if (draws.empty()) wait();
    const size_t most = draw_buckets_.sizes().back();
    for (; !draws.empty(); draws = draws.subspan(std::min(most, draws.size())))
        draw_some(draws.first(std::min(most, draws.size())));
}

// Rows that fill the bucket up compute position 0 of a sequence that is nobody's.
void GpuEngine::put_rows(std::span<const Row> rows) noexcept {
    const uint32_t bucket = row_buckets_.sizes()[row_buckets_.index_of(rows_)];
    const uint32_t table_pages = cache_->table_pages();
    for (uint32_t i = 0; i < rows_; ++i) {
        const auto at = static_cast<uint64_t>(rows[i].pages - cache_->tables().data());
        host_rows_[i] = {rows[i].token, rows[i].position, static_cast<uint32_t>(at / table_pages),
                         0};
    }
    const auto spare = static_cast<uint32_t>(cache_->tables().size() / table_pages);
    std::fill(host_rows_ + rows_, host_rows_ + bucket, StepRow{0, 0, spare, 0});
    device_.upload(host_rows_, pass_->step_rows(), bucket * sizeof(StepRow));
}

// Rows of one sequence ascend, so the last of them tells how many pages it needs.
void GpuEngine::put_tables(std::span<const Row> rows) noexcept {
    for (size_t i = 0; i < rows.size(); ++i) {
        const Row& row = rows[i];
        if (i + 1 < rows.size() && rows[i + 1].pages == row.pages) continue;
        const auto at = static_cast<uint64_t>(row.pages - cache_->tables().data());
        BITNETD_CHECK(at < cache_->tables().size() && at % cache_->table_pages() == 0);
        const auto run = mirror_->update(static_cast<uint32_t>(at / cache_->table_pages()),
                                         row.pages, row.position / kPageTokens + 1);
        if (!run) continue;
        device_.upload(host_tables_ + run->first, tables_ + run->first,
                       run->count * sizeof(std::byte*));
    }
}

void GpuEngine::draw_some(std::span<const Draw> draws) noexcept {
    put_draws(draws);
    const auto count = static_cast<uint32_t>(draws.size());
    device_.launch(draw_graphs_[draw_buckets_.index_of(count)]);
    fetch_draws(draws);
    wait();
    for (size_t i = 0; i < draws.size(); ++i)
        take_draw(i, draws[i]);
}

void GpuEngine::put_draws(std::span<const Draw> draws) noexcept {
    const auto count = static_cast<uint32_t>(draws.size());
    const uint32_t bucket = draw_buckets_.sizes()[draw_buckets_.index_of(count)];
    ways_.clear();
    for (uint32_t i = 0; i < bucket; ++i) {
        const bool is_there = i < count;
        const DrawWay way = is_there ? way_of(draws[i], vocab_) : DrawWay{};
        if (is_there) ways_.push_back(way);
        host_draw_rows_[i] = is_there ? draws[i].row : 0;
        host_largest_[i].wanted = way.largest;
        const bool is_plain = is_there && way.place == DrawPlace::kDevice;
        host_plain_[i] = is_plain ? plain_draw(draws[i]) : PlainDraw{};
    }
    device_.upload(host_draw_rows_, draw_rows_, bucket * sizeof(uint32_t));
    device_.upload(host_largest_, largest_, bucket * sizeof(Largest));
    device_.upload(host_plain_, plain_, bucket * sizeof(PlainDraw));
}

// What comes back: results of the places that were used, and logits of the rows that need them.
void GpuEngine::fetch_draws(std::span<const Draw> draws) noexcept {
    const auto uses = [&](DrawPlace place) {
        return std::ranges::find(ways_, place, &DrawWay::place) != ways_.end();
    };
    if (uses(DrawPlace::kLargest)) {
        device_.download(largest_, host_largest_, draws.size() * sizeof(Largest));
    }
    if (uses(DrawPlace::kDevice)) {
        device_.download(plain_, host_plain_, draws.size() * sizeof(PlainDraw));
    }
    for (size_t i = 0; i < draws.size(); ++i) {
        if (ways_[i].place != DrawPlace::kAllLogits) continue;
        device_.download(logits_ + i * vocab_, logits_row(i).data(), vocab_ * sizeof(float));
    }
}

// A device that made nonsense of a draw must not make others read behind their tables.
void GpuEngine::take_draw(size_t i, const Draw& draw) noexcept {
    draw_from(i, draw);
    if (draw.drawn->token >= vocab_) draw.drawn->valid = false;
}

void GpuEngine::draw_from(size_t i, const Draw& draw) noexcept {
    switch (ways_[i].place) {
        case DrawPlace::kDevice:
            draw.drawn->valid = host_plain_[i].valid != 0;
            draw.drawn->token = host_plain_[i].token;
            return;
        case DrawPlace::kLargest: {
            const Largest& largest = host_largest_[i];
            among_.clear();
            for (uint32_t rank = 0; rank < std::min(largest.count, ways_[i].largest); ++rank)
                among_.push_back({largest.ids[rank], largest.logits[rank]});
            sampler_.draw_among(*draw.params, draw.context, among_, *draw.drawn);
            return;
        }
        case DrawPlace::kAllLogits:
            take_from_logits(draw, logits_row(i));
            return;
    }
}

void GpuEngine::take_from_logits(const Draw& draw, std::span<const float> logits) noexcept {
    if (draw.is_score) {
        sampler_.score(draw.known_token, draw.params->alternatives_count, logits, *draw.drawn);
    } else {
        sampler_.draw(*draw.params, draw.context, logits, LogitsKind::kAll, *draw.drawn);
    }
}

// All rows of the step at once: an embedding asks for one after the other.
std::span<const float> GpuEngine::hidden_of(uint32_t row) noexcept {
    BITNETD_CHECK(row < rows_);
    if (!has_hidden_) {
        pass_->final_norm(rows_, all_rows_, normed_);
        device_.download(normed_, host_hidden_, uint64_t{rows_} * hidden_ * sizeof(float));
        wait();
        has_hidden_ = true;
    }
    return {host_hidden_ + uint64_t{row} * hidden_, hidden_};
}

std::span<const float> GpuEngine::logits_of(uint32_t row) noexcept {
    BITNETD_CHECK(row < rows_);
    pass_->final_norm(1, all_rows_ + row, normed_);
    pass_->logits(1, normed_, logits_);
    device_.download(logits_, host_logits_, vocab_ * sizeof(float));
    wait();
    return logits_row(0);
}

void GpuEngine::copy_page(std::byte* to, const std::byte* from, uint64_t bytes) noexcept {
    kernels_.copy_page(device_.stream(), from, to, static_cast<int64_t>(bytes));
}

}  // namespace bitnetd::worker
