#include "worker/model/pooling.h"

#include <algorithm>

namespace bitnetd::worker {

void Pooler::clear() {
    std::ranges::fill(sum_, 0.0);
    count_ = 0;
}

void Pooler::add(std::span<const float> hidden) {
    ++count_;
    if (pooling_ == shm::Pooling::kMean) {
        for (size_t i = 0; i < sum_.size(); ++i)
            sum_[i] += static_cast<double>(hidden[i]);
    } else {
        std::copy(hidden.begin(), hidden.end(), sum_.begin());
    }
}

void Pooler::write(std::span<float> out) const {
    const double share = pooling_ == shm::Pooling::kMean ? 1.0 / static_cast<double>(count_) : 1.0;
    std::ranges::transform(sum_, out.begin(),
                           [share](double sum) { return static_cast<float>(sum * share); });
}

}  // namespace bitnetd::worker
