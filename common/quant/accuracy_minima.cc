#include "common/quant/accuracy_minima.h"

#include <charconv>
#include <string>

#include "common/base/quote.h"

namespace bitnetd::quant {
namespace {

// Good models lose 0.0003 at most where activations are rounded to int8, nothing elsewhere.
constexpr double kUsual = 0.99;
constexpr double kOfFloats = 0.999;
constexpr double kOfTiles = 0.98;
constexpr std::string_view kAllTypes = "all";

// Without spaces, which no list of settings should need.
Result<size_t> index_of(std::string_view name, size_t types) {
    for (size_t i = 0; i < types; ++i) {
        if (name_of(static_cast<Type>(i)) == name) return i;
    }
    return invalid(quote(name) +
                   " is not a type; expected I2_S, TQ1_0, TQ2_0, TL1, TL2, Q4_K, F16, ... or all");
}

Result<double> parse_minimum(std::string_view text) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc{} && end == text.data() + text.size();
    if (whole && value >= 0 && value <= 1) return value;
    return invalid(quote(text) + " is not a minimum; expected a number from 0 to 1");
}

}  // namespace

AccuracyMinima::AccuracyMinima() {
    minima_.fill(kUsual);
    for (const Type type : {Type::kF32, Type::kF16, Type::kBF16})
        minima_[static_cast<size_t>(type)] = kOfFloats;
    for (const Type type : {Type::kTL1, Type::kTL2})
        minima_[static_cast<size_t>(type)] = kOfTiles;
}

Result<AccuracyMinima> AccuracyMinima::parse(std::string_view text) {
    AccuracyMinima out;
    std::array<bool, kTypes> named{};
    bool all_named = false;
    double all = 0;
    while (!text.empty()) {
        const size_t comma = text.find(',');
        const std::string_view entry = text.substr(0, comma);
        text = comma == std::string_view::npos ? "" : text.substr(comma + 1);
        const size_t equals = entry.find('=');
        if (equals == std::string_view::npos) {
            return invalid(quote(entry) + ": expected TYPE=MINIMUM, like I2_S=0.99");
        }
        const std::string_view name = entry.substr(0, equals);
        BITNETD_ASSIGN(const double minimum, parse_minimum(entry.substr(equals + 1)));
        bool* seen = &all_named;
        if (name == kAllTypes) {
            all = minimum;
        } else {
            BITNETD_ASSIGN(const size_t index, index_of(name, kTypes));
            out.minima_[index] = minimum;
            seen = &named[index];
        }
        if (*seen) return invalid(quote(name) + " is there twice");
        *seen = true;
    }
    for (size_t i = 0; all_named && i < kTypes; ++i) {
        if (!named[i]) out.minima_[i] = all;
    }
    return out;
}

}  // namespace bitnetd::quant
