#include "common/text/marked_text.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace bitnetd::text {

void MarkedText::append(std::string_view bytes, bool trusted) {
    if (bytes.empty()) return;
    bytes_ += bytes;
    if (runs_.empty() || runs_.back().trusted != trusted) {
        runs_.push_back({bytes_.size(), trusted});
    } else {
        runs_.back().end = bytes_.size();
    }
}

size_t MarkedText::run_at(size_t at) const {
    const auto beyond = [](size_t value, const Run& run) { return value < run.end; };
    return static_cast<size_t>(std::upper_bound(runs_.begin(), runs_.end(), at, beyond) -
                               runs_.begin());
}

void MarkedText::append(const MarkedText& other, size_t begin, size_t end) {
    for (size_t run = other.run_at(begin); begin < end; ++run) {
        const size_t stop = std::min(end, other.runs_[run].end);
        append(std::string_view(other.bytes_).substr(begin, stop - begin),
               other.runs_[run].trusted);
        begin = stop;
    }
}

MarkedText MarkedText::slice(size_t begin, size_t end) const {
    MarkedText part;
    part.append(*this, begin, end);
    return part;
}

MarkedText MarkedText::with_bytes(std::string bytes) const {
    BITNETD_CHECK(bytes.size() == bytes_.size());
    MarkedText other = *this;
    other.bytes_ = std::move(bytes);
    return other;
}

bool MarkedText::trusted(size_t begin, size_t end) const {
    for (size_t run = run_at(begin); begin < end; ++run) {
        if (!runs_[run].trusted) return false;
        begin = runs_[run].end;
    }
    return true;
}

}  // namespace bitnetd::text
