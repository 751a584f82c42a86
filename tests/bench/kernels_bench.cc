// Goal: how close the kernels come to this machine's limits, table by table.
// Method: the products of the layers of a 2B model, over matrices that together exceed every
//       cache. Few rows are shown as bytes of weights per second beside the bytes per second that a
//       plain loop reads from the same memory with the same threads just before, and the ratio of
//       the two; all as multiply-adds per second. These are the best call's, which a busy machine
//       disturbs least. Attention over a cached sequence as positions per second. Nothing asserts
//       a time.
#include <benchmark/benchmark.h>
#include <emmintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/config/kv_type.h"
#include "worker/kernels/dispatch.h"
#include "worker/topology/cores.h"
#include "worker/topology/slice.h"
#include "worker/topology/thread_pool.h"

namespace {

using namespace bitnetd;
using kernels::KernelTable;
using worker::ThreadPool;

constexpr int64_t kPoolBytes = int64_t{512} << 20;  // above any cache; holds many matrices

// Random 2-bit codes 0..2 (small numbers in any other format) in huge pages where the kernel gives
// them.
const uint8_t* weights() {
    static uint8_t* const memory = [] {
        void* at =
            mmap(nullptr, kPoolBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) {
            std::perror("mmap");
            std::exit(1);
        }
        madvise(at, kPoolBytes, MADV_HUGEPAGE);
        auto* bytes = static_cast<uint8_t*>(at);
        std::mt19937 random(1);
        uint8_t patterns[4096];
        for (uint8_t& byte : patterns) {
            byte = 0;
            for (int field = 0; field < 4; ++field) {
                byte = static_cast<uint8_t>(byte << 2 | random() % 3);
            }
        }
        for (int64_t i = 0; i < kPoolBytes; ++i)
            bytes[i] = patterns[(i * 31 + i / 4096) % 4096];
        return bytes;
    }();
    return memory;
}

void read_bytes(const uint8_t* from, int64_t bytes) {
    __m128i sum[8] = {};
    const auto* at = reinterpret_cast<const __m128i*>(from);
    for (int64_t i = 0; i + 8 <= bytes / 16; i += 8) {
        for (int j = 0; j < 8; ++j)
            sum[j] = _mm_xor_si128(sum[j], _mm_load_si128(at + i + j));
    }
    for (int j = 1; j < 8; ++j)
        sum[0] = _mm_xor_si128(sum[0], sum[j]);
    benchmark::DoNotOptimize(sum[0]);
}

// The fastest of one pass over the memory in pieces of that size: bytes per second.
double read_bandwidth(ThreadPool& pool, int64_t piece_bytes) {
    uint64_t best_ns = ~uint64_t{0};
    for (int64_t at = 0; at + piece_bytes <= kPoolBytes; at += piece_bytes) {
        const uint64_t start = monotonic_ns();
        pool.run([&](int thread) {
            const worker::Range part = worker::slice(piece_bytes, pool.threads(), thread, 64);
            read_bytes(weights() + at + part.begin, part.count());
        });
        best_ns = std::min(best_ns, monotonic_ns() - start);
    }
    return static_cast<double>(piece_bytes) * 1e9 / static_cast<double>(best_ns);
}

std::unique_ptr<ThreadPool> make_pool(bool all_cores) {
    auto cores = worker::affinity_cores();
    if (!cores.ok()) std::exit(1);
    if (!all_cores) cores->resize(1);
    auto pool = ThreadPool::create({.cores = *cores});
    if (!pool.ok()) std::exit(1);
    return std::move(pool).value();
}

struct Layer {
    const char* name;
    int32_t n;
    int32_t k;
};
constexpr Layer kLayers[] = {{"gate_up_6912x2560", 6912, 2560}, {"down_2560x6912", 2560, 6912}};

// One product of m rows with the weight rows `part` of a matrix at w.
using Product = std::function<void(worker::Range part, const uint8_t* w)>;

// m rows through one matrix after the other, the columns split over the pool's threads.
void measure(benchmark::State& state, Layer layer, int32_t m, bool all_cores, int64_t matrix_bytes,
             const Product& product) {
    const std::unique_ptr<ThreadPool> pool = make_pool(all_cores);
    const int64_t matrices = kPoolBytes / matrix_bytes;
    const double bandwidth = read_bandwidth(*pool, matrix_bytes);  // now: the machine may be shared
    int64_t next = 0;
    uint64_t best_ns = ~uint64_t{0};
    for (auto _ : state) {
        const uint64_t start = monotonic_ns();
        const uint8_t* w = weights() + next % matrices * matrix_bytes;
        ++next;
        pool->run(
            [&](int thread) { product(worker::slice(layer.n, pool->threads(), thread, 16), w); });
        benchmark::ClobberMemory();
        best_ns = std::min(best_ns, monotonic_ns() - start);
    }
    const double best_s = static_cast<double>(best_ns) / 1e9;
    const double weight_bytes = static_cast<double>(matrix_bytes) / best_s;
    if (m <= 8) {
        state.counters["weights_GB/s"] = weight_bytes / 1e9;
        state.counters["read_loop_GB/s"] = bandwidth / 1e9;
        state.counters["ratio"] = weight_bytes / bandwidth;
    }
    const double multiply_adds = static_cast<double>(m) * layer.n * layer.k;
    state.counters["Gmul_add/s"] = multiply_adds / best_s / 1e9;
}

size_t elements(int64_t rows, int64_t columns) {
    return static_cast<size_t>(rows) * static_cast<size_t>(columns);
}

std::vector<int8_t> activations(size_t count) {
    std::vector<int8_t> q(count);
    for (size_t i = 0; i < count; ++i)
        q[i] = static_cast<int8_t>(i * 37 % 255 - 127);
    return q;
}

void ternary(benchmark::State& state, const KernelTable& table, Layer layer, int32_t m,
             bool all_cores) {
    const int64_t row_bytes = kernels::ternary_row_bytes(layer.k);
    const int32_t padded = static_cast<int32_t>(kernels::ternary_padded(layer.k));
    const std::vector<int8_t> q = activations(elements(m, padded));
    const std::vector<int32_t> q_sum(static_cast<size_t>(m), 3);
    const std::vector<float> scale(static_cast<size_t>(m), 2.0f);
    std::vector<float> y(elements(m, layer.n));
    measure(state, layer, m, all_cores, layer.n * row_bytes,
            [&](worker::Range part, const uint8_t* w) {
                table.ternary_gemm(m, static_cast<int32_t>(part.count()), padded, q.data(),
                                   q_sum.data(), scale.data(), w + part.begin * row_bytes, 0.5f,
                                   y.data() + part.begin, layer.n);
            });
}

struct Format {
    const char* name;
    kernels::BlockFormat format;
};
constexpr Format kFormats[] = {{"Q8_0", kernels::BlockFormat::kQ8_0},
                               {"Q4_K", kernels::BlockFormat::kQ4_K},
                               {"Q6_K", kernels::BlockFormat::kQ6_K}};

void block_gemm(benchmark::State& state, const KernelTable& table, Layer layer, int32_t m,
                bool all_cores, kernels::BlockFormat format) {
    const std::vector<int8_t> q = activations(elements(m, layer.k));
    const std::vector<float> d(q.size() / 32, 0.01f);
    const std::vector<int32_t> q_sum(q.size() / 16, 3);
    std::vector<float> y(elements(m, layer.n));
    measure(state, layer, m, all_cores, kernels::block_matrix_bytes(format, layer.n, layer.k),
            [&](worker::Range part, const uint8_t* w) {
                table.block_gemm(format, m, static_cast<int32_t>(part.count()), layer.k, q.data(),
                                 d.data(), q_sum.data(),
                                 w + kernels::block_matrix_bytes(format, part.begin, layer.k),
                                 y.data() + part.begin, layer.n);
            });
}

void block_matmul(benchmark::State& state, const KernelTable& table, Layer layer, int32_t m,
                  bool all_cores, kernels::BlockFormat format) {
    const std::vector<float> x(elements(m, layer.k), 0.01f);
    std::vector<float> y(elements(m, layer.n));
    measure(state, layer, m, all_cores, kernels::block_matrix_bytes(format, layer.n, layer.k),
            [&](worker::Range part, const uint8_t* w) {
                table.block_matmul(format, m, static_cast<int32_t>(part.count()), layer.k, x.data(),
                                   w + kernels::block_matrix_bytes(format, part.begin, layer.k),
                                   y.data() + part.begin, layer.n);
            });
}

// Matrices of 16-bit floats: W is uint16_t (half) or Bf16.
template <typename W, auto kEntry>
void float_matmul(benchmark::State& state, const KernelTable& table, Layer layer, int32_t m,
                  bool all_cores) {
    const std::vector<float> x(elements(m, layer.k), 0.01f);
    std::vector<float> y(elements(m, layer.n));
    const int64_t row_bytes = int64_t{layer.k} * static_cast<int64_t>(sizeof(W));
    measure(state, layer, m, all_cores, layer.n * row_bytes,
            [&](worker::Range part, const uint8_t* w) {
                (table.*kEntry)(m, static_cast<int32_t>(part.count()), layer.k, x.data(),
                                reinterpret_cast<const W*>(w + part.begin * row_bytes),
                                y.data() + part.begin, layer.n);
            });
}

// One query row of a 2B model (20 heads of 128, 5 kv heads) over `positions` cached ones.
void attention(benchmark::State& state, const KernelTable& table, KvType type, int32_t positions) {
    constexpr int32_t kPageTokens = 32;
    constexpr int32_t kHeads = 20;
    kernels::KvView kv{nullptr, 0, 0, kPageTokens, 5, 128};
    const uint64_t row_bytes = kv_row_bytes(type, 128);
    kv.v_offset = kv.kv_heads * kPageTokens * static_cast<int64_t>(row_bytes);
    std::vector<std::vector<std::byte>> storage(
        static_cast<size_t>((positions + 31) / 32),
        std::vector<std::byte>(static_cast<size_t>(kv.v_offset) * 2));
    std::vector<const std::byte*> pages;
    for (const auto& page : storage)
        pages.push_back(page.data());
    kv.pages = pages.data();
    const std::vector<float> q(kHeads * 128, 0.01f);
    std::vector<float> out(q.size());
    const kernels::Attention run = type == KvType::kF32   ? table.attention_f32
                                   : type == KvType::kF16 ? table.attention_f16
                                                          : table.attention_int8;
    for (auto _ : state) {
        run(kv, kHeads, 0, kHeads, 0, positions, 0.088f, q.data(), out.data());
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations() * positions);
}

void bf16_dot(benchmark::State& state, const KernelTable& table, Layer layer, int32_t m,
              bool all_cores) {
    using kernels::Bf16;
    const std::vector<Bf16> x(elements(m, layer.k), Bf16{0x3c00});
    std::vector<float> y(elements(m, layer.n));
    const int64_t row_bytes = int64_t{layer.k} * static_cast<int64_t>(sizeof(Bf16));
    measure(state, layer, m, all_cores, layer.n * row_bytes,
            [&](worker::Range part, const uint8_t* w) {
                table.matmul_bf16_dot(m, static_cast<int32_t>(part.count()), layer.k, x.data(),
                                      reinterpret_cast<const Bf16*>(w + part.begin * row_bytes),
                                      y.data() + part.begin, layer.n);
            });
}

// "table/kernel/layer/rowsM/cores", for one core and all.
template <typename Run, typename... More>
void add(const KernelTable& table, const std::string& kernel, Run run, Layer layer,
         std::initializer_list<int32_t> rows, More... more) {
    for (const int32_t m : rows) {
        for (const bool all_cores : {false, true}) {
            const std::string name = std::string(table.name) + "/" + kernel + "/" + layer.name +
                                     "/rows" + std::to_string(m) +
                                     (all_cores ? "/all_cores" : "/one_core");
            benchmark::RegisterBenchmark(name.c_str(), run, table, layer, m, all_cores, more...)
                ->UseRealTime();
        }
    }
}

void add_all(const KernelTable& table) {
    for (const Layer& layer : kLayers)
        add(table, "ternary", ternary, layer, {1, 2, 4, 8, 64, 256});
    const Layer layer = kLayers[0];
    for (const Format& format : kFormats) {
        add(table, std::string("gemm_") + format.name, block_gemm, layer, {1, 4, 8, 64},
            format.format);
        add(table, std::string("matmul_") + format.name, block_matmul, layer, {1, 4, 64},
            format.format);
    }
    add(table, "matmul_f16", float_matmul<uint16_t, &KernelTable::matmul_f16>, layer, {1, 4, 64});
    add(table, "matmul_bf16", float_matmul<kernels::Bf16, &KernelTable::matmul_bf16>, layer,
        {1, 4, 64});
    if (table.matmul_bf16_dot != nullptr) {
        add(table, "matmul_bf16_dot", bf16_dot, layer, {1, 4, 64});
    }
    for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kInt8}) {
        const std::string name =
            std::string(table.name) + "/attention_" + std::string(format_of(type).name) + "/1024";
        benchmark::RegisterBenchmark(name.c_str(), attention, table, type, 1024);
    }
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    for (const KernelTable* table : kernels::usable_tables()) {
        if (std::string(table->name) != "scalar") add_all(*table);  // minutes per matrix
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
