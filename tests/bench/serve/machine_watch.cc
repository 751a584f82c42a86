#include "tests/bench/serve/machine_watch.h"

#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "common/base/clock.h"

namespace bitnetd::bench {
namespace {

double own_seconds() {
    return static_cast<double>(clock_ns(CLOCK_PROCESS_CPUTIME_ID)) / static_cast<double>(kNsPerS);
}

}  // namespace

MachineWatch::MachineWatch(pid_t server, uint64_t duration_ns)
    : server_(server),
      begin_ns_(monotonic_ns()),
      every_ns_(std::max(kNsPerS, duration_ns / 10)),
      next_ns_(begin_ns_ + every_ns_),
      generator_start_s_(own_seconds()) {
    if (server_ == 0) return;
    server_time_.emplace(server_);
    look();
}

void MachineWatch::tick(uint64_t now_ns) {
    if (server_ == 0 || now_ns < next_ns_) return;
    look();
    if (memory_bytes_.size() >= kSamplesMax) {  // of a stage without a known end: every other one
        for (size_t i = 0; i < memory_bytes_.size() / 2; ++i)
            memory_bytes_[i] = memory_bytes_[2 * i];
        memory_bytes_.resize(memory_bytes_.size() / 2);
        every_ns_ *= 2;
    }
    next_ns_ = now_ns + every_ns_;
}

void MachineWatch::look() {
    if (const auto bytes = resident_bytes(server_)) memory_bytes_.push_back(*bytes);
}

MachineUse MachineWatch::end() {
    MachineUse use;
    use.seconds = static_cast<double>(monotonic_ns() - begin_ns_) / static_cast<double>(kNsPerS);
    use.cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
    use.generator_cores = (own_seconds() - generator_start_s_) / use.seconds;
    use.other_cores = others_.share() * use.cores;
    if (server_ != 0) {
        look();
        for (const auto& [name, seconds] : server_time_->since_start()) {
            use.server_cores[name] = seconds / use.seconds;
            use.other_cores -= seconds / use.seconds;
        }
    }
    use.other_cores = std::max(0.0, use.other_cores);
    use.memory_bytes = memory_bytes_;
    return use;
}

}  // namespace bitnetd::bench
