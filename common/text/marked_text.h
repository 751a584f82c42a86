// Text that remembers, byte by byte, who wrote it: the chat template (trusted) or the caller of the
// API. Rendering keeps the marks through every string operation, so that the tokenizer can take
// "<|im_start|>" for a role marker only where the template wrote it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bitnetd::text {

class MarkedText {
  public:
    MarkedText() = default;
    MarkedText(std::string_view bytes, bool trusted) { append(bytes, trusted); }

    const std::string& str() const { return bytes_; }
    size_t size() const { return bytes_.size(); }
    bool empty() const { return bytes_.empty(); }

    void append(std::string_view bytes, bool trusted);
    void append(const MarkedText& other) { append(other, 0, other.size()); }
    // The bytes begin .. end of `other`, with their marks. begin <= end <= other.size().
    void append(const MarkedText& other, size_t begin, size_t end);
    MarkedText slice(size_t begin, size_t end) const;

    // The same marks over other bytes, as many as there are now.
    MarkedText with_bytes(std::string bytes) const;

    // Whether every byte of begin .. end is trusted. True for the empty range.
    bool trusted(size_t begin, size_t end) const;

  private:
    struct Run {
        size_t end;  // the run reaches from the previous run's end to here
        bool trusted;
    };
    // The first run that reaches beyond `at`.
    size_t run_at(size_t at) const;

    std::string bytes_;
    std::vector<Run> runs_;  // neighbours differ; the last ends at bytes_.size()
};

}  // namespace bitnetd::text
