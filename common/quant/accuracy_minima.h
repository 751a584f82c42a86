// The accuracy ratio below which a model is not served, by the type its matrices are stored in.
// The ratio itself is measured where models are prepared.
#pragma once

#include <array>
#include <string_view>

#include "common/base/result.h"
#include "common/quant/quant_types.h"

namespace bitnetd::quant {

class AccuracyMinima {
  public:
    // The built-in ones: 0.999 for F32, F16 and BF16, 0.98 for TL1 and TL2, 0.99 for all others.
    AccuracyMinima();

    // "TYPE=MINIMUM[,TYPE=MINIMUM...]", each type at most once, minima 0 .. 1; types that are not
    // named keep the built-in one, and "all" names every type that has no entry of its own. The
    // error says what was expected.
    static Result<AccuracyMinima> parse(std::string_view text);

    double of(Type type) const { return minima_[static_cast<size_t>(type)]; }

  private:
    static constexpr size_t kTypes = static_cast<size_t>(Type::kNVFP4) + 1;

    std::array<double, kTypes> minima_;
};

}  // namespace bitnetd::quant
