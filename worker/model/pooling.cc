#include "worker/model/pooling.h"

#include <algorithm>
#include <cmath>

namespace bitnetd::worker {

void Pooler::add(std::span<const float> hidden) {
    ++count_;
    if (pooling_ == shm::Pooling::kMean) {
        for (size_t i = 0; i < sum_.size(); ++i)
            sum_[i] += static_cast<double>(hidden[i]);
    } else {
        std::copy(hidden.begin(), hidden.end(), sum_.begin());
    }
}

std::vector<float> Pooler::pooled() const {
    const double share = pooling_ == shm::Pooling::kMean ? 1.0 / static_cast<double>(count_) : 1.0;
    std::vector<float> out(sum_.size());
    std::ranges::transform(sum_, out.begin(),
                           [share](double sum) { return static_cast<float>(sum * share); });
    return out;
}

std::vector<float> Pooler::embedding() const {
    constexpr double kFloor = 1e-12;  // of the length, as the models' own code has it
    const double share = pooling_ == shm::Pooling::kMean ? 1.0 / static_cast<double>(count_) : 1.0;
    double squares = 0;
    for (const double value : sum_)
        squares += value * share * value * share;
    const double length = std::max(std::sqrt(squares), kFloor);
    std::vector<float> out(sum_.size());
    for (size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<float>(sum_[i] * share / length);
    return out;
}

}  // namespace bitnetd::worker
