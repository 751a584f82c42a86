#include "worker/kernels/dispatch.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include <array>

#include "common/base/check.h"
#include "common/log/log.h"
#include "worker/kernels/amx_permission.h"
#include "worker/kernels/self_check.h"
#include "worker/kernels/tables.h"

namespace bitnetd::kernels {
namespace {

#if defined(__x86_64__)

// Not all compilers know this one by name.
bool cpu_has_f16c() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

// __builtin_cpu_supports() also asks whether the operating system saves the registers.
bool cpu_has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && cpu_has_f16c();
}

bool cpu_has_avx512() {
    return cpu_has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq");
}

bool cpu_has_avx512vnni() {
    return cpu_has_avx512() && __builtin_cpu_supports("avx512vnni");
}

bool cpu_has_avx512bf16() {
    return cpu_has_avx512vnni() && __builtin_cpu_supports("avx512bf16");
}

bool cpu_has_amx() {
    return cpu_has_avx512bf16() && request_amx().is_usable;
}

#elif defined(__aarch64__)

bool cpu_has_dot_products() {
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}

#endif

struct UsableTables {
    std::array<const KernelTable*, 6> tables{};
    size_t count = 0;

    UsableTables() {
#if defined(__x86_64__)
        if (cpu_has_amx()) tables[count++] = &amx::kTable;
        if (cpu_has_avx512bf16()) tables[count++] = &avx512bf16::kTable;
        if (cpu_has_avx512vnni()) tables[count++] = &avx512vnni::kTable;
        if (cpu_has_avx512()) tables[count++] = &avx512::kTable;
        if (cpu_has_avx2()) tables[count++] = &avx2::kTable;
#elif defined(__aarch64__)
        if (cpu_has_dot_products()) tables[count++] = &neondotprod::kTable;
        tables[count++] = &neon::kTable;
#endif
        tables[count++] = &reference::kTable;
    }
};

bool passes(const KernelTable& table) {
    const char* entry = self_check(table);
    if (entry == nullptr) return true;
    log::error("kernel_table_wrong", {{"table", table.name},
                                      {"entry", entry},
                                      {"consequence", "not used; the next best table is tried"}});
    return false;
}

// Worth a line only where AMX might have been expected.
void say_why_not_amx(std::string_view preferred) {
    const AmxAnswer& answer = request_amx();
    if (answer.is_usable) return;
    if (preferred != "amx" && !(preferred == "auto" && answer.has_instructions)) return;
    log::warn("kernel_table_refused", {{"table", "amx"},
                                       {"reason", answer.reason},
                                       {"consequence", "the next best table is tried"}});
}

}  // namespace

std::span<const KernelTable* const> usable_tables() {
    static const UsableTables usable;
    return {usable.tables.data(), usable.count};
}

const KernelTable* find(std::string_view name) {
    for (const KernelTable* table : usable_tables()) {
        if (name == table->name) return table;
    }
    return nullptr;
}

const KernelTable& select_from(std::span<const KernelTable* const> candidates,
                               std::string_view preferred) {
    BITNETD_CHECK(!candidates.empty());
    const KernelTable* wanted = nullptr;
    for (const KernelTable* table : candidates) {
        if (preferred == table->name) wanted = table;
    }
    if (wanted == nullptr && preferred != "auto") {
        log::warn("kernel_table_unavailable",
                  {{"table", preferred}, {"consequence", "the best usable table is taken"}});
    }
    const KernelTable* last = candidates.back();
    if (wanted != nullptr && (wanted == last || passes(*wanted))) return *wanted;
    for (const KernelTable* table : candidates) {
        if (table == wanted) continue;  // has just failed
        if (table == last || passes(*table)) return *table;
    }
    return *last;
}

const KernelTable& select(std::string_view preferred) {
    say_why_not_amx(preferred);
    const KernelTable& table = select_from(usable_tables(), preferred);
    log::info("kernel_table_selected", {{"table", table.name}, {"preferred", preferred}});
    return table;
}

}  // namespace bitnetd::kernels
