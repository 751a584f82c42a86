#include "tests/support/bench/timed_kernels.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <type_traits>
#include <utility>

#include "common/base/clock.h"

namespace bitnetd::bench {
namespace {

using kernels::KernelTable;

struct alignas(64) Counter {
    std::atomic<uint64_t> calls{0};
    std::atomic<uint64_t> ns{0};
};

// A member of the table, or one of its ternary ways by number.
template <auto Entry>
auto& entry_of(KernelTable& table) {
    if constexpr (std::is_integral_v<decltype(Entry)>) {
        return table.ternary_ways[Entry].run;
    } else {
        return table.*Entry;
    }
}

template <auto Entry>
using EntryType = std::remove_cvref_t<decltype(entry_of<Entry>(std::declval<KernelTable&>()))>;

// The entry that stands in for Entry, and what it counted.
template <auto Entry, typename Function = EntryType<Entry>>
struct Timed;
template <auto Entry, typename... Args>
struct Timed<Entry, void (*)(Args...) noexcept> {
    static inline void (*original)(Args...) noexcept = nullptr;
    static inline Counter counter;

    static void call(Args... args) noexcept {
        const uint64_t start = monotonic_ns();
        original(args...);
        counter.ns.fetch_add(monotonic_ns() - start, std::memory_order_relaxed);
        counter.calls.fetch_add(1, std::memory_order_relaxed);
    }
};

struct Row {
    const char* name;
    Counter* counter;
    void (*replace)(KernelTable& table);
};

template <auto Entry>
constexpr Row row(const char* name) {
    return {name, &Timed<Entry>::counter, [](KernelTable& table) {
                auto& entry = entry_of<Entry>(table);
                Timed<Entry>::original = entry;
                if (entry != nullptr) entry = Timed<Entry>::call;
            }};
}

const Row kRows[] = {
    row<&KernelTable::quantise_rows>("quantise_rows"),
    row<0>("ternary_packed"),
    row<1>("ternary_tiles"),
    row<&KernelTable::quantise_blocks>("quantise_blocks"),
    row<&KernelTable::block_gemm>("block_gemm"),
    row<&KernelTable::block_matmul>("block_matmul"),
    row<&KernelTable::block_row>("block_row"),
    row<&KernelTable::rms_norm>("rms_norm"),
    row<&KernelTable::add_in_place>("add_in_place"),
    row<&KernelTable::relu2_gate>("relu2_gate"),
    row<&KernelTable::silu_gate>("silu_gate"),
    row<&KernelTable::gelu_gate>("gelu_gate"),
    row<&KernelTable::scale_in_place>("scale_in_place"),
    row<&KernelTable::soft_cap>("soft_cap"),
    row<&KernelTable::rope_neox>("rope_neox"),
    row<&KernelTable::rope_norm>("rope_norm"),
    row<&KernelTable::f16_to_f32>("f16_to_f32"),
    row<&KernelTable::bf16_to_f32>("bf16_to_f32"),
    row<&KernelTable::f32_to_f16>("f32_to_f16"),
    row<&KernelTable::f32_to_bf16>("f32_to_bf16"),
    row<&KernelTable::matmul_f16>("matmul_f16"),
    row<&KernelTable::matmul_bf16>("matmul_bf16"),
    row<&KernelTable::matmul_f32>("matmul_f32"),
    row<&KernelTable::matmul_bf16_dot>("matmul_bf16_dot"),
    row<&KernelTable::attention_f32>("attention_f32"),
    row<&KernelTable::attention_f16>("attention_f16"),
    row<&KernelTable::attention_int8>("attention_int8"),
    row<&KernelTable::quantise_head>("quantise_head"),
};

}  // namespace

KernelTable timed_kernels(const KernelTable& table) {
    KernelTable out = table;
    for (const Row& row : kRows)
        row.replace(out);
    return out;
}

void reset_kernel_times() {
    for (const Row& row : kRows) {
        row.counter->calls.store(0);
        row.counter->ns.store(0);
    }
}

std::vector<KernelTime> kernel_times() {
    std::vector<KernelTime> out;
    for (const Row& row : kRows) {
        if (row.counter->calls.load() == 0) continue;
        out.push_back({row.name, row.counter->calls.load(), row.counter->ns.load()});
    }
    std::ranges::sort(out, std::greater{}, &KernelTime::ns);
    return out;
}

}  // namespace bitnetd::bench
