// Stop strings over a stream of text: the match that completes first ends the text. Holds back what
// may still become a match (the longest end of the text that is a proper beginning of a stop
// string), so that the concatenated output is the same however the text was cut into deltas. One
// automaton over all stop strings (Aho and Corasick): its depth is the hold-back. One StopMatcher
// per sequence. Not shared between threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitnetd::text {

class StopMatcher {
  public:
    // Strings may be empty (ignored). api/ bounds them to 16 strings of 256 bytes.
    explicit StopMatcher(const std::vector<std::string>& stops);

    // Takes the next text and appends to `out` what is certain not to be part of a stop string.
    // True when one was completed: `out` then ends before it (of several that complete at the same
    // byte, the longest), the rest of `text` is dropped, and nothing may be pushed any more.
    bool push(std::string_view text, std::string& out);

    // The text ended without a match: releases what was held back.
    void flush(std::string& out);

    // Index of the stop string that matched, as given to the constructor.
    std::optional<size_t> matched() const { return matched_; }

  private:
    static constexpr uint32_t kNone = 0xFFFFFFFF;
    struct Node {
        uint32_t depth = 0;
        uint32_t fallback = 0;  // the longest proper suffix that is also a node
        uint32_t first_child = kNone;
        uint32_t sibling = kNone;
        uint32_t stop = kNone;  // the longest stop string that ends here
        uint32_t stop_bytes = 0;
        char byte = 0;
    };
    uint32_t child(uint32_t node, char byte) const;
    uint32_t step(uint32_t node, char byte) const;
    void add(std::string_view stop, uint32_t index);
    void link_fallbacks();

    std::vector<Node> nodes_{Node{}};
    uint32_t state_ = 0;
    std::string held_;  // always nodes_[state_].depth bytes after a push
    std::optional<size_t> matched_;
};

}  // namespace bitnetd::text
