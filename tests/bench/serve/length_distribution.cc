#include "tests/bench/serve/length_distribution.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace bitnetd::bench {
namespace {

template <typename T>
bool read_number(std::string_view text, T& out) {
    const char* end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data(), end, out);
    return error == std::errc() && stopped == end;
}

bool read_length(std::string_view text, uint32_t& out) {
    return read_number(text, out) && out >= 1 && out <= LengthDistribution::kTokensMax;
}

// "A<separator>B" cut in two; without the separator the second part is empty.
std::pair<std::string_view, std::string_view> cut(std::string_view text, std::string_view at) {
    const size_t found = text.find(at);
    if (found == text.npos) return {text, {}};
    return {text.substr(0, found), text.substr(found + at.size())};
}

}  // namespace

Result<LengthDistribution> LengthDistribution::parse(std::string_view text) {
    LengthDistribution made;
    made.text_ = text;
    const auto [name, rest] =
        text.find(':') == text.npos ? std::pair{std::string_view("fixed"), text} : cut(text, ":");
    bool is_good = false;
    if (name == "fixed") {
        is_good = read_length(rest, made.low_);
        made.high_ = made.low_;
    } else if (name == "uniform") {
        made.kind_ = Kind::kUniform;
        const auto [low, high] = cut(rest, "..");
        is_good =
            read_length(low, made.low_) && read_length(high, made.high_) && made.low_ <= made.high_;
    } else if (name == "lognormal") {
        made.kind_ = Kind::kLogNormal;
        const auto [median, sigma] = cut(rest, ",");
        is_good = read_length(median, made.low_) && read_number(sigma, made.sigma_) &&
                  made.sigma_ > 0 && made.sigma_ <= 10;
        made.high_ = kTokensMax;
    }
    if (is_good) return made;
    return invalid(
        "\"" + std::string(text) +
        "\" is no distribution of lengths; expected fixed:N, uniform:A..B with A <= B, or "
        "lognormal:MEDIAN,SIGMA with 0 < SIGMA <= 10; lengths are 1 to " +
        std::to_string(kTokensMax));
}

uint32_t LengthDistribution::draw(Rng& rng) const noexcept {
    switch (kind_) {
        case Kind::kUniform:
            return low_ + static_cast<uint32_t>(rng.below(uint64_t{high_} - low_ + 1));
        case Kind::kLogNormal: {
            const double tokens = std::round(low_ * std::exp(sigma_ * rng.normal()));
            return static_cast<uint32_t>(std::clamp(tokens, 1.0, double{kTokensMax}));
        }
        case Kind::kFixed:
            break;
    }
    return low_;
}

uint32_t LengthDistribution::median() const noexcept {
    return kind_ == Kind::kUniform ? low_ + (high_ - low_) / 2 : low_;
}

}  // namespace bitnetd::bench
