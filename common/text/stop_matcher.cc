#include "common/text/stop_matcher.h"

namespace bitnetd::text {

StopMatcher::StopMatcher(const std::vector<std::string>& stops) {
    for (size_t i = 0; i < stops.size(); ++i) {
        if (!stops[i].empty()) add(stops[i], static_cast<uint32_t>(i));
    }
    link_fallbacks();
}

uint32_t StopMatcher::child(uint32_t node, char byte) const {
    uint32_t at = nodes_[node].first_child;
    while (at != kNone && nodes_[at].byte != byte)
        at = nodes_[at].sibling;
    return at;
}

void StopMatcher::add(std::string_view stop, uint32_t index) {
    uint32_t node = 0;
    for (const char byte : stop) {
        uint32_t next = child(node, byte);
        if (next == kNone) {
            next = static_cast<uint32_t>(nodes_.size());
            nodes_.push_back(
                {nodes_[node].depth + 1, 0, kNone, nodes_[node].first_child, kNone, 0, byte});
            nodes_[node].first_child = next;
        }
        node = next;
    }
    if (nodes_[node].stop == kNone) {
        nodes_[node].stop = index;
        nodes_[node].stop_bytes = static_cast<uint32_t>(stop.size());
    }
}

// Breadth first, so that a node's fallback, which is shorter, is complete before it is used.
void StopMatcher::link_fallbacks() {
    std::vector<uint32_t> queue{0};
    for (size_t i = 0; i < queue.size(); ++i) {
        const uint32_t parent = queue[i];
        for (uint32_t at = nodes_[parent].first_child; at != kNone; at = nodes_[at].sibling) {
            queue.push_back(at);
            Node& node = nodes_[at];
            node.fallback = parent == 0 ? 0 : step(nodes_[parent].fallback, node.byte);
            if (node.stop == kNone) {
                node.stop = nodes_[node.fallback].stop;
                node.stop_bytes = nodes_[node.fallback].stop_bytes;
            }
        }
    }
}

uint32_t StopMatcher::step(uint32_t node, char byte) const {
    for (;;) {
        const uint32_t next = child(node, byte);
        if (next != kNone) return next;
        if (node == 0) return 0;
        node = nodes_[node].fallback;
    }
}

bool StopMatcher::push(std::string_view text, std::string& out) {
    if (matched_) return true;
    for (size_t i = 0; i < text.size(); ++i) {
        state_ = step(state_, text[i]);
        const Node& node = nodes_[state_];
        if (node.stop == kNone) continue;
        held_.append(text, 0, i + 1);
        out.append(held_, 0, held_.size() - node.stop_bytes);
        held_.clear();
        matched_ = node.stop;
        return true;
    }
    held_ += text;
    const size_t certain = held_.size() - nodes_[state_].depth;
    out.append(held_, 0, certain);
    held_.erase(0, certain);
    return false;
}

void StopMatcher::flush(std::string& out) {
    out += held_;
    held_.clear();
    state_ = 0;
}

}  // namespace bitnetd::text
