#include "worker/gpu/table_mirror.h"

#include <algorithm>

#include "common/base/check.h"

namespace bitnetd::worker {

TableMirror::TableMirror(std::span<std::byte*> mirror, uint32_t table_pages)
    : mirror_(mirror), table_pages_(table_pages) {
    std::ranges::fill(mirror_, nullptr);
}

std::optional<TableMirror::Run> TableMirror::update(uint32_t table, std::byte* const* pages,
                                                    uint32_t count) noexcept {
    const uint64_t begin = uint64_t{table} * table_pages_;
    BITNETD_CHECK(count <= table_pages_ && begin + table_pages_ <= mirror_.size());
    uint32_t first = 0;
    while (first < count && mirror_[begin + first] == pages[first])
        ++first;
    if (first == count) return std::nullopt;
    uint32_t end = count;
    while (mirror_[begin + end - 1] == pages[end - 1])
        --end;
    std::copy(pages + first, pages + end, mirror_.begin() + static_cast<ptrdiff_t>(begin + first));
    return Run{begin + first, uint64_t{end} - first};
}

}  // namespace bitnetd::worker
