// How many tokens: "fixed:16" (or "16"), "uniform:8..64", "lognormal:64,0.8" (median 64; 0.8 is the
// deviation of the logarithm, which is what lengths of real prompts look like).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "tests/bench/serve/rng.h"

namespace bitnetd::bench {

class LengthDistribution {
  public:
    static constexpr uint32_t kTokensMax = 1'000'000;

    static Result<LengthDistribution> parse(std::string_view text);

    // 1 .. kTokensMax.
    uint32_t draw(Rng& rng) const noexcept;
    // Half of the draws are at most so long.
    uint32_t median() const noexcept;
    bool is_fixed() const noexcept { return kind_ == Kind::kFixed || low_ == high_; }
    const std::string& text() const noexcept { return text_; }

  private:
    enum class Kind : uint8_t { kFixed, kUniform, kLogNormal };

    Kind kind_ = Kind::kFixed;
    uint32_t low_ = 1;   // fixed: the length; log-normal: the median
    uint32_t high_ = 2;  // uniform only
    double sigma_ = 0;   // log-normal only
    std::string text_;
};

}  // namespace bitnetd::bench
