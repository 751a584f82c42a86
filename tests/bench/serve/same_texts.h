// SameTexts: whether the same request always gets the same text. The first answer to each of a few
// requests is kept, later ones are compared with it. Memory is bounded by their number.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitnetd::bench {

class SameTexts {
  public:
    // 0: nothing is compared.
    explicit SameTexts(uint32_t requests) : first_(requests) {}

    bool is_on() const noexcept { return !first_.empty(); }
    // The request that the n-th one is a repetition of.
    uint64_t repeated(uint64_t number) const noexcept {
        return is_on() ? number % first_.size() : number;
    }
    void compare(uint64_t number, std::string_view text);

    uint64_t compared() const noexcept { return compared_; }  // with an earlier answer
    uint64_t differences() const noexcept { return differences_; }
    // Which request, where, and both texts there. Empty without a difference.
    const std::string& first_difference() const noexcept { return first_difference_; }

  private:
    std::vector<std::optional<std::string>> first_;
    uint64_t compared_ = 0;
    uint64_t differences_ = 0;
    std::string first_difference_;
};

}  // namespace bitnetd::bench
