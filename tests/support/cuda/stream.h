// A stream of the emulated device: what is put on it runs at once, in the caller's thread, or is
// recorded while the stream is captured. Not for two threads at a time.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace bitnetd::kernels::cuda_emulated {

// What was recorded; run any number of times.
class Graph {
  public:
    void add(std::function<void()> work) { work_.push_back(std::move(work)); }
    void run() const {
        for (const std::function<void()>& work : work_)
            work();
    }
    size_t size() const { return work_.size(); }

  private:
    std::vector<std::function<void()>> work_;
};

}  // namespace bitnetd::kernels::cuda_emulated

// kernels::cuda::Stream points to one.
struct CUstream_st {
  public:
    // A launch or a copy.
    void put(std::function<void()> work) {
        if (is_captured_) {
            graph_.add(std::move(work));
        } else {
            work();
        }
    }
    void begin_capture() {
        graph_ = {};
        is_captured_ = true;
    }
    bitnetd::kernels::cuda_emulated::Graph end_capture() {
        is_captured_ = false;
        return std::exchange(graph_, {});
    }
    bool is_captured() const { return is_captured_; }

  private:
    bool is_captured_ = false;
    bitnetd::kernels::cuda_emulated::Graph graph_;
};
