#include "tests/support/machine/other_load.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace bitnetd::bench {
namespace {

double seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

OtherLoad::OtherLoad() : start_(now()) {}

double OtherLoad::share() const {
    const Seconds end = now();
    const double all = end.all - start_.all;
    const double others = (end.busy - start_.busy) - (end.own - start_.own);
    return all > 0 ? std::clamp(others / all, 0.0, 1.0) : 0;
}

// The first line of /proc/stat: "cpu" and the ticks of user, nice, system, idle, iowait, irq,
// softirq, steal; guests are in user already.
OtherLoad::Seconds OtherLoad::now() {
    constexpr int kFields = 8, kIdle = 3, kIoWait = 4;
    const auto ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
    Seconds out;
    std::ifstream in("/proc/stat");
    std::string name;
    in >> name;
    for (int field = 0; field < kFields; ++field) {
        double ticks = 0;
        in >> ticks;
        out.all += ticks / ticks_per_second;
        if (field != kIdle && field != kIoWait) out.busy += ticks / ticks_per_second;
    }
    rusage use{};
    getrusage(RUSAGE_SELF, &use);
    out.own = seconds(use.ru_utime) + seconds(use.ru_stime);
    return out;
}

}  // namespace bitnetd::bench
