#include "supervisor/frontend/api/machine.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string>

#include "common/base/clock.h"

namespace bitnetd::frontend {
namespace {

constexpr uint64_t kIntervalNs = kNsPerS;

Result<Fd> open_read_only(const char* path) {
    Fd fd(::open(path, O_RDONLY | O_CLOEXEC));
    if (!fd) return io_error(std::string("open ") + path, errno);
    return fd;
}

// The beginning; what is looked for stands in the first lines.
std::string_view read_start(const Fd& fd, std::array<char, 1024>& text) {
    const ssize_t length = fd ? pread(fd.get(), text.data(), text.size(), 0) : 0;
    return {text.data(), length > 0 ? static_cast<size_t>(length) : 0};
}

// The number behind the blanks at the start of `text`, which then begins behind it.
std::optional<uint64_t> take_number(std::string_view& text) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    return number;
}

// "MemTotal:   16315344 kB"
std::optional<uint64_t> bytes_of(std::string_view meminfo, std::string_view name) {
    const size_t at = meminfo.find(name);
    if (at == meminfo.npos) return std::nullopt;
    meminfo.remove_prefix(at + name.size());
    const auto kibibytes = take_number(meminfo);
    if (!kibibytes) return std::nullopt;
    return *kibibytes * 1024;
}

}  // namespace

std::optional<CpuTimes> parse_cpu_times(std::string_view stat) {
    constexpr std::string_view prefix = "cpu ";
    if (!stat.starts_with(prefix)) return std::nullopt;
    stat.remove_prefix(prefix.size());
    std::array<uint64_t, 8> ticks{};  // those behind are contained in the first two
    for (uint64_t& each : ticks) {
        const auto number = take_number(stat);
        if (!number) return std::nullopt;
        each = *number;
    }
    CpuTimes times;
    for (const uint64_t each : ticks)
        times.total += each;
    times.busy = times.total - ticks[3] - ticks[4];  // idle, and idle while a disk works
    return times;
}

std::optional<MachineMemory> parse_memory(std::string_view meminfo) {
    const auto total = bytes_of(meminfo, "MemTotal:");
    const auto available = bytes_of(meminfo, "MemAvailable:");
    if (!total || !available) return std::nullopt;
    return MachineMemory{*total, *available};
}

Result<Machine> Machine::open() {
    Machine machine;
    BITNETD_ASSIGN(machine.stat_, open_read_only("/proc/stat"));
    BITNETD_ASSIGN(machine.meminfo_, open_read_only("/proc/meminfo"));
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    machine.cores_ = cores > 0 ? static_cast<uint32_t>(cores) : 0;
    return machine;
}

void Machine::observe(uint64_t now_ns) {
    if (last_ && now_ns < observed_ns_ + kIntervalNs) return;
    std::array<char, 1024> text;
    const auto times = parse_cpu_times(read_start(stat_, text));
    if (!times) return;
    if (last_ && times->total > last_->total && times->busy >= last_->busy) {
        utilisation_ = static_cast<double>(times->busy - last_->busy) /
                       static_cast<double>(times->total - last_->total);
    }
    last_ = times;
    observed_ns_ = now_ns;
}

std::optional<MachineMemory> Machine::memory() const {
    std::array<char, 1024> text;
    return parse_memory(read_start(meminfo_, text));
}

}  // namespace bitnetd::frontend
