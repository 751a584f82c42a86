// The scalar kernels: plain loops that define the answer of every entry in kernel_api.h. Slow on
// purpose; when in doubt about a kernel, read this file.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "worker/kernels/exp_poly.h"
#include "worker/kernels/kernel_api.h"
#include "worker/kernels/reference/bf16_dot.h"
#include "worker/kernels/reference/blocks.h"
#include "worker/kernels/reference/half.h"
#include "worker/kernels/tables.h"

namespace bitnetd::kernels::reference {
namespace {

constexpr int kLanes = 16;

float to_float(float value) {
    return value;
}
float to_float(uint16_t half) {
    return half_to_float(half);
}
float to_float(Bf16 value) {
    return bf16_value(value);
}
float to_float(int8_t code) {
    return code;
}

template <typename T>
T add_lanes(T (&lane)[kLanes]) {
    for (int half = kLanes / 2; half >= 1; half /= 2) {
        for (int i = 0; i < half; ++i)
            lane[i] += lane[i + half];
    }
    return lane[0];
}

template <typename T>
float dot(int32_t k, const float* x, const T* w) {
    float lane[kLanes] = {};
    for (int32_t t = 0; t < k; ++t) {
        lane[t % kLanes] = std::fma(x[t], to_float(w[t]), lane[t % kLanes]);
    }
    return add_lanes(lane);
}

float power_of_two(int32_t exponent) {
    return std::bit_cast<float>(static_cast<uint32_t>(exponent + 127) << 23);
}

float exp_of(float x) {
    x = kExpMax < x ? kExpMax : x;  // both comparisons let NaN through
    x = kExpMin > x ? kExpMin : x;
    const float t = std::fma(x, kLog2E, kRound);
    const float whole = t - kRound;
    const float r = std::fma(whole, -kLn2Low, std::fma(whole, -kLn2High, x));
    float p = kExpTerms[0];
    for (int i = 1; i < kExpTermCount; ++i)
        p = std::fma(p, r, kExpTerms[i]);
    const int32_t n =
        static_cast<int32_t>(std::bit_cast<uint32_t>(t) - std::bit_cast<uint32_t>(kRound));
    const int32_t half = n >> 1;
    return p * power_of_two(half) * power_of_two(n - half);
}

void quantise_rows(int32_t m, int32_t k, const float* x, int64_t x_stride, int8_t* q,
                   float* x_scale, int32_t* q_sum) noexcept {
    const int64_t padded = (k + kTernaryBlock - 1) / kTernaryBlock * kTernaryBlock;
    for (int32_t i = 0; i < m; ++i) {
        const float* row = x + i * x_stride;
        double largest = 1e-5;
        for (int32_t t = 0; t < k; ++t) {
            const double magnitude = std::fabs(row[t]);
            if (magnitude > largest) largest = magnitude;
        }
        x_scale[i] = static_cast<float>(127.0 / largest);
        q_sum[i] = 0;
        for (int64_t t = 0; t < padded; ++t) {
            q[i * padded + t] = t < k ? quantise(row[t], x_scale[i]) : int8_t{0};
            q_sum[i] += q[i * padded + t];
        }
    }
}

void ternary_gemm(int32_t m, int32_t n, int32_t k_padded, const int8_t* q, const int32_t* q_sum,
                  const float* x_scale, const uint8_t* w, float w_scale, float* y,
                  int64_t y_stride) noexcept {
    constexpr int32_t kQuarter = kTernaryBlockBytes;
    for (int32_t i = 0; i < m; ++i) {
        for (int32_t j = 0; j < n; ++j) {
            const int8_t* row = q + static_cast<int64_t>(i) * k_padded;
            const uint8_t* codes = w + static_cast<int64_t>(j) * (k_padded / 4);
            int32_t sum = 0;
            for (int32_t t = 0; t < k_padded; ++t) {
                const int32_t in_block = t % kTernaryBlock;
                const uint8_t byte = codes[t / kTernaryBlock * kQuarter + in_block % kQuarter];
                sum += row[t] * ((byte >> (2 * (in_block / kQuarter))) & 3);
            }
            sum -= q_sum[i];  // each code is its weight + 1
            y[i * y_stride + j] = static_cast<float>(sum) / x_scale[i] * w_scale;
        }
    }
}

void rms_norm(int32_t m, int32_t k, const float* x, int64_t x_stride, const float* weight,
              float eps, float* y, int64_t y_stride) noexcept {
    for (int32_t i = 0; i < m; ++i) {
        const float* row = x + i * x_stride;
        double lane[kLanes] = {};
        for (int32_t t = 0; t < k; ++t) {
            const double value = row[t];
            lane[t % kLanes] = std::fma(value, value, lane[t % kLanes]);
        }
        const auto mean = static_cast<float>(add_lanes(lane) / k);
        const float factor = 1.0f / std::sqrt(mean + eps);
        for (int32_t t = 0; t < k; ++t)
            y[i * y_stride + t] = row[t] * factor * weight[t];
    }
}

void add_in_place(int64_t count, const float* y, float* x) noexcept {
    for (int64_t t = 0; t < count; ++t)
        x[t] += y[t];
}

void relu2_gate(int64_t count, float* gate, const float* up) noexcept {
    for (int64_t t = 0; t < count; ++t) {
        const float r = gate[t] > 0.0f ? gate[t] : 0.0f;
        gate[t] = r * r * up[t];
    }
}

void silu_gate(int64_t count, float* gate, const float* up) noexcept {
    for (int64_t t = 0; t < count; ++t)
        gate[t] = gate[t] / (1.0f + exp_of(-gate[t])) * up[t];
}

void gelu_gate(int64_t count, float* gate, const float* up) noexcept {
    for (int64_t t = 0; t < count; ++t) {
        const float x = gate[t];
        const float minus_2u = kGeluTwice * x * std::fma(kGeluCube, x * x, 1.0f);
        gate[t] = x / (1.0f + exp_of(minus_2u)) * up[t];
    }
}

void scale_in_place(int64_t count, float factor, float* x) noexcept {
    for (int64_t t = 0; t < count; ++t)
        x[t] *= factor;
}

void soft_cap(int64_t count, float cap, float* x) noexcept {
    for (int64_t t = 0; t < count; ++t)
        x[t] = cap * (1.0f - 2.0f / (exp_of(2.0f * (x[t] / cap)) + 1.0f));
}

void rope_neox(int32_t heads, int32_t head_dim, int32_t n_rot, const float* cos_sin,
               float* x) noexcept {
    const int32_t half = n_rot / 2;
    for (int32_t h = 0; h < heads; ++h) {
        float* head = x + static_cast<int64_t>(h) * head_dim;
        for (int32_t p = 0; p < half; ++p) {
            const float a = head[p];
            const float b = head[p + half];
            const float cos = cos_sin[p];
            const float sin = cos_sin[half + p];
            head[p] = a * cos - b * sin;
            head[p + half] = a * sin + b * cos;
        }
    }
}

void rope_norm(int32_t heads, int32_t head_dim, int32_t n_rot, const float* cos_sin,
               float* x) noexcept {
    const int32_t half = n_rot / 2;
    for (int32_t h = 0; h < heads; ++h) {
        float* head = x + static_cast<int64_t>(h) * head_dim;
        for (int32_t p = 0; p < half; ++p) {
            const float a = head[2 * p];
            const float b = head[2 * p + 1];
            const float cos = cos_sin[p];
            const float sin = cos_sin[half + p];
            head[2 * p] = a * cos - b * sin;
            head[2 * p + 1] = a * sin + b * cos;
        }
    }
}

template <typename T>
void to_f32(int64_t count, const T* x, float* y) noexcept {
    for (int64_t t = 0; t < count; ++t)
        y[t] = to_float(x[t]);
}

void f32_to_f16(int64_t count, const float* x, uint16_t* y) noexcept {
    for (int64_t t = 0; t < count; ++t)
        y[t] = float_to_half(x[t]);
}

void f32_to_bf16(int64_t count, const float* x, Bf16* y) noexcept {
    for (int64_t t = 0; t < count; ++t)
        y[t] = float_to_bf16(x[t]);
}

template <typename T>
void matmul(int32_t m, int32_t n, int32_t k, const float* x, const T* w, float* y,
            int64_t y_stride) noexcept {
    for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j)
            y[i * y_stride + j] = dot(k, x + i * k, w + j * k);
    }
}

void quantise_head(int32_t head_dim, const float* x, int8_t* q, float* scale) noexcept {
    *scale = quantise_group(head_dim, x, q);
    for (int32_t t = head_dim; t % kLanes != 0; ++t)
        q[t] = 0;
}

// The keys, or the values, of one head in one page. T is the type that they are stored as; int8
// rows have scales.
template <typename T>
class HeadRows {
  public:
    static constexpr bool kScaled = sizeof(T) == 1;

    HeadRows(const KvView& kv, const std::byte* page, int64_t offset, int32_t kv_head)
        : row_((kv.head_dim + kLanes - 1) / kLanes * kLanes) {
        const int64_t codes_bytes = kv.page_tokens * row_ * static_cast<int64_t>(sizeof(T));
        const int64_t scales_bytes = kScaled ? kv.page_tokens * 4 : 0;
        const std::byte* head = page + offset + kv_head * (codes_bytes + scales_bytes);
        rows_ = reinterpret_cast<const T*>(head);
        scales_ = reinterpret_cast<const float*>(head + codes_bytes);
    }

    const T* row(int32_t in_page) const { return rows_ + in_page * row_; }
    // x times the row's scale.
    float scaled(float x, int32_t in_page) const { return kScaled ? x * scales_[in_page] : x; }

  private:
    int64_t row_;  // head_dim with its padding
    const T* rows_;
    const float* scales_;
};

// One head.
template <typename T>
void attend(const KvView& kv, int32_t kv_head, int32_t first, int32_t count, float scale,
            const float* q, float* out) {
    float largest = -std::numeric_limits<float>::infinity();
    float sum = 0.0f;
    float acc[kHeadDimMax] = {};
    for (int32_t begin = first; begin < count;) {
        const int32_t in_page = begin % kv.page_tokens;
        const std::byte* page = kv.pages[begin / kv.page_tokens];
        const HeadRows<T> keys(kv, page, kv.k_offset, kv_head);
        const HeadRows<T> values(kv, page, kv.v_offset, kv_head);
        const int32_t positions = std::min(count - begin, kv.page_tokens - in_page);
        float score[kPageTokensMax];
        float new_largest = largest;
        for (int32_t p = 0; p < positions; ++p) {
            const float product = dot(kv.head_dim, q, keys.row(in_page + p));
            score[p] = keys.scaled(product, in_page + p) * scale;
            if (score[p] > new_largest) new_largest = score[p];
        }
        if (new_largest > largest) {
            const float shrink = exp_of(largest - new_largest);
            sum *= shrink;
            for (int32_t d = 0; d < kv.head_dim; ++d)
                acc[d] *= shrink;
            largest = new_largest;
        }
        for (int32_t p = 0; p < positions; ++p) {
            const float weight = exp_of(score[p] - largest);
            sum += weight;
            const float factor = values.scaled(weight, in_page + p);
            const T* value = values.row(in_page + p);
            for (int32_t d = 0; d < kv.head_dim; ++d)
                acc[d] = std::fma(factor, to_float(value[d]), acc[d]);
        }
        begin += positions;
    }
    const float share = 1.0f / sum;
    for (int32_t d = 0; d < kv.head_dim; ++d)
        out[d] = acc[d] * share;
}

template <typename T>
void attention(const KvView& kv, int32_t heads, int32_t head_begin, int32_t head_end, int32_t first,
               int32_t count, float scale, const float* q, float* out) noexcept {
    const int32_t heads_per_kv = heads / kv.kv_heads;
    for (int32_t h = head_begin; h < head_end; ++h) {
        const int64_t at = static_cast<int64_t>(h) * kv.head_dim;
        attend<T>(kv, h / heads_per_kv, first, count, scale, q + at, out + at);
    }
}

}  // namespace

const KernelTable kTable = {
    .name = "scalar",
    .quantise_rows = quantise_rows,
    .ternary_gemm = ternary_gemm,
    .ternary_ways = {{"plain", ternary_gemm, 1}, {}},
    .quantise_blocks = quantise_blocks,
    .block_gemm = block_gemm,
    .block_matmul = block_matmul,
    .block_row = block_row,
    .rms_norm = rms_norm,
    .add_in_place = add_in_place,
    .relu2_gate = relu2_gate,
    .silu_gate = silu_gate,
    .gelu_gate = gelu_gate,
    .scale_in_place = scale_in_place,
    .soft_cap = soft_cap,
    .rope_neox = rope_neox,
    .rope_norm = rope_norm,
    .f16_to_f32 = to_f32<uint16_t>,
    .bf16_to_f32 = to_f32<Bf16>,
    .f32_to_f16 = f32_to_f16,
    .f32_to_bf16 = f32_to_bf16,
    .matmul_f16 = matmul<uint16_t>,
    .matmul_bf16 = matmul<Bf16>,
    .matmul_f32 = matmul<float>,
    .matmul_bf16_dot = matmul_bf16_dot,
    .attention_f32 = attention<float>,
    .attention_f16 = attention<uint16_t>,
    .attention_int8 = attention<int8_t>,
    .quantise_head = quantise_head,
};

}  // namespace bitnetd::kernels::reference
