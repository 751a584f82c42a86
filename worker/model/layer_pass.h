// LayerPass: what the layers of a model are written in (worker/model/families/): the values of the
// rows of one step, and the operations on them. ForwardPass computes them on the cores of a CPU,
// GpuPass (worker/gpu/) on a GPU, where all pointers, those of the weights included, are the
// device's and an operation only queues work. Both give the same bits; which rows stand beside a
// row changes nothing in its result. Loop thread only.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>

#include "worker/model/linear.h"
#include "worker/model/weights_view.h"

namespace bitnetd::worker {

// One vector of `size` floats for every row of the step, without gaps. The pass owns the memory.
struct RowValues {
    float* row(int64_t i) const { return values + i * size; }

    int32_t size = 0;
    float* values = nullptr;  // [rows][size]
};

class LayerPass {
  public:
    virtual ~LayerPass() = default;

    // What layers compute on: [rows][size].
    RowValues x;        // the residual stream, hidden
    RowValues h;        // a normed copy of it, or what will be added to it
    RowValues q, k, v;  // queries, keys and values: heads side by side
    RowValues a;        // what attention gives, as wide as q
    RowValues g, u;     // gate and up, ffn

    // to = norm(from, weight), row by row; from may be to.
    virtual void norm(const RowValues& from, const float* weight, RowValues& to) noexcept = 0;
    // Every head by itself.
    virtual void norm_heads(RowValues& heads, const float* weight) noexcept = 0;

    // *y = w input + bias, for each of them.
    struct Product {
        const Linear* w;
        RowValues* y;
    };
    virtual void multiply(const RowValues& input,
                          std::initializer_list<Product> products) noexcept = 0;
    // x += w input + bias
    virtual void multiply_and_add(const RowValues& input, const Linear& w) noexcept = 0;
    // g = activation(gate input) * (up input)
    virtual void gate(const RowValues& input, const Linear& gate, const Linear& up) noexcept = 0;
    // x += what
    virtual void add(const RowValues& what) noexcept = 0;

    // Turns q and k by their rows' positions and stores k and v in the rows' pages.
    virtual void rotate_and_store(const LayerWeights& w) noexcept = 0;
    // a = attention of q over the pages.
    virtual void attend(const LayerWeights& w) noexcept = 0;

  protected:
    LayerPass(const LayerPass&) = delete;
    LayerPass& operator=(const LayerPass&) = delete;

    // Sets the sizes of all values; their memory is the derived pass's to give.
    explicit LayerPass(const WeightsView& weights) {
        x.size = h.size = static_cast<int32_t>(weights.header.hidden);
        q.size = a.size = weights.query_size();
        k.size = v.size = weights.kv_size();
        g.size = u.size = static_cast<int32_t>(weights.header.ffn);
    }

    // Every value, for whoever gives them memory.
    std::array<RowValues*, 8> all() { return {&x, &h, &q, &k, &v, &a, &g, &u}; }
};

// Of a row that some linear layer of the model takes: the longest.
inline int32_t widest_input(const WeightsView& weights) {
    return std::max({static_cast<int32_t>(weights.header.hidden),
                     static_cast<int32_t>(weights.header.ffn), weights.query_size()});
}

}  // namespace bitnetd::worker
