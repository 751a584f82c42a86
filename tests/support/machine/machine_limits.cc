#include "tests/support/machine/machine_limits.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/base/clock.h"
#include "tests/support/machine/int8_rate.h"
#include "worker/topology/slice.h"

namespace bitnetd::bench {
namespace {

constexpr int64_t kReadBytes = int64_t{1} << 30;  // far above any cache
constexpr double kRunSeconds = 0.1;

// Huge pages where the kernel gives them; each thread's part first touched by it.
class ReadBuffer {
  public:
    explicit ReadBuffer(worker::ThreadPool& pool) {
        void* at =
            mmap(nullptr, kReadBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) {
            std::perror("mmap of 1 GiB to read");
            std::exit(1);
        }
        bytes_ = static_cast<uint8_t*>(at);
        madvise(bytes_, kReadBytes, MADV_HUGEPAGE);
        pool.run([&](int thread) {
            const worker::Range part = of(pool, thread);
            std::memset(bytes_ + part.begin, thread + 1, static_cast<size_t>(part.count()));
        });
    }
    ~ReadBuffer() { munmap(bytes_, kReadBytes); }
    ReadBuffer(const ReadBuffer&) = delete;
    ReadBuffer& operator=(const ReadBuffer&) = delete;

    static worker::Range of(const worker::ThreadPool& pool, int thread) {
        return worker::slice(kReadBytes, pool.threads(), thread, 4096);
    }
    const uint8_t* at(int64_t offset) const { return bytes_ + offset; }

  private:
    uint8_t* bytes_;
};

// 4 KiB at a time; `bytes` is a multiple. Loads only: what they give is thrown away.
void read_avx512(const uint8_t* from, int64_t bytes) noexcept {
    const uint8_t* const end = from + bytes;
    asm volatile(
        "1:\n"
        ".irp line, 0, 1, 2, 3, 4, 5, 6, 7\n"
        "vmovdqa64 64*\\line(%0), %%zmm\\line\n"
        ".endr\n"
        "add $512, %0\n"
        "cmp %1, %0\n"
        "jb 1b\n"
        "vzeroupper\n"
        : "+r"(from)
        : "r"(end)
        : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
}

void read_avx2(const uint8_t* from, int64_t bytes) noexcept {
    const uint8_t* const end = from + bytes;
    asm volatile(
        "1:\n"
        ".irp half, 0, 1, 2, 3, 4, 5, 6, 7\n"
        "vmovdqa 32*\\half(%0), %%ymm\\half\n"
        ".endr\n"
        "add $256, %0\n"
        "cmp %1, %0\n"
        "jb 1b\n"
        "vzeroupper\n"
        : "+r"(from)
        : "r"(end)
        : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
}

void read_words(const uint8_t* from, int64_t bytes) noexcept {
    uint64_t sum = 0;
    for (int64_t i = 0; i < bytes; i += 8) {
        uint64_t word;
        std::memcpy(&word, from + i, sizeof word);
        sum ^= word;
    }
    asm volatile("" : : "r"(sum));
}

using Read = void (*)(const uint8_t* from, int64_t bytes) noexcept;

Read best_read() {
    if (__builtin_cpu_supports("avx512f")) return read_avx512;
    if (__builtin_cpu_supports("avx2")) return read_avx2;
    return read_words;
}

// Seconds that f(thread) takes on all threads at once.
template <typename F>
double seconds_of(worker::ThreadPool& pool, F f) {
    const uint64_t start = monotonic_ns();
    pool.run(f);
    return static_cast<double>(monotonic_ns() - start) / 1e9;
}

// How often something that took so long is repeated to fill a run.
int64_t repeats(double seconds) {
    return std::max<int64_t>(1, static_cast<int64_t>(kRunSeconds / seconds));
}

Measured summary(const std::vector<double>& rates) {
    return {median(rates), *std::max_element(rates.begin(), rates.end())};
}

Measured measure_read(worker::ThreadPool& pool, int runs) {
    const ReadBuffer buffer(pool);
    const Read read = best_read();
    int64_t passes = 1;
    const auto run = [&](int thread) {
        const worker::Range part = ReadBuffer::of(pool, thread);
        for (int64_t pass = 0; pass < passes; ++pass)
            read(buffer.at(part.begin), part.count());
    };
    passes = repeats(seconds_of(pool, run));
    std::vector<double> rates;
    for (int i = 0; i < runs; ++i) {
        const double bytes = static_cast<double>(passes) * static_cast<double>(kReadBytes);
        rates.push_back(bytes / seconds_of(pool, run) / 1e9);
    }
    return summary(rates);
}

Measured measure_int8(worker::ThreadPool& pool, const Int8Set& set, int runs) {
    int64_t rounds = 20'000;  // a millisecond or so
    const auto run = [&](int) { set.run(rounds); };
    seconds_of(pool, run);  // wakes the units up
    rounds *= repeats(seconds_of(pool, run));
    std::vector<double> rates;
    for (int i = 0; i < runs; ++i) {
        const double products = static_cast<double>(rounds) * static_cast<double>(set.products) *
                                static_cast<double>(pool.threads());
        rates.push_back(products / seconds_of(pool, run) / 1e9);
    }
    return summary(rates);
}

std::string cpu_name() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);) {
        const size_t colon = line.find(": ");
        if (line.starts_with("model name") && colon != line.npos) return line.substr(colon + 2);
    }
    return "unknown";
}

}  // namespace

MachineLimits measure_machine(worker::ThreadPool& pool, int runs) {
    MachineLimits limits{.cpu = cpu_name(),
                         .threads = pool.threads(),
                         .read_gb_s = measure_read(pool, runs),
                         .int8 = {}};
    for (const Int8Set& set : int8_sets())
        limits.int8.push_back({set.name, measure_int8(pool, set, runs)});
    return limits;
}

MachineLimits between(const MachineLimits& before, const MachineLimits& after) {
    const auto middle = [](const Measured& a, const Measured& b) {
        return Measured{(a.median + b.median) / 2, std::max(a.best, b.best)};
    };
    MachineLimits out = before;
    out.read_gb_s = middle(before.read_gb_s, after.read_gb_s);
    for (size_t i = 0; i < out.int8.size(); ++i)
        out.int8[i].gmac_s = middle(before.int8[i].gmac_s, after.int8[i].gmac_s);
    return out;
}

std::optional<double> int8_gmac_s(const MachineLimits& limits, std::string_view table) {
    // Its integer products are VNNI's.
    if (table == "avx512bf16") table = "avx512vnni";
    for (const MachineLimits::Rate& rate : limits.int8) {
        if (rate.isa == table) return rate.gmac_s.median;
    }
    return std::nullopt;
}

void print(const MachineLimits& limits) {
    std::printf("%s, %d threads\n\n", limits.cpu.c_str(), limits.threads);
    std::printf("%-32s %10s %10s\n", "", "median", "best");
    std::printf("%-32s %10.2f %10.2f\n", "memory read, GB/s", limits.read_gb_s.median,
                limits.read_gb_s.best);
    for (const MachineLimits::Rate& rate : limits.int8) {
        std::printf("%-32s %10.0f %10.0f\n", ("int8, G multiply-adds/s, " + rate.isa).c_str(),
                    rate.gmac_s.median, rate.gmac_s.best);
    }
}

nlohmann::json to_json(const MachineLimits& limits) {
    nlohmann::json rates = nlohmann::json::object();
    for (const MachineLimits::Rate& rate : limits.int8)
        rates[rate.isa] = rate.gmac_s.median;
    return {{"cpu", limits.cpu},
            {"threads", limits.threads},
            {"read_gb_s", limits.read_gb_s.median},
            {"int8_gmac_s", rates}};
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const size_t middle = values.size() / 2;
    return values.size() % 2 != 0 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Result<void> write_json(const std::string& path, const nlohmann::json& content) {
    std::ofstream out(path);
    out << content.dump(2) << '\n';
    out.close();
    if (out) return {};
    return Error{ErrorCode::kIo, path + " could not be written"};
}

}  // namespace bitnetd::bench
