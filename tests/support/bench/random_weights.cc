#include "tests/support/bench/random_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <string>
#include <vector>

#include "common/quant/encode.h"
#include "common/quant/half.h"

namespace bitnetd::bench {
namespace {

using quant::Type;

constexpr size_t kPartBytes = size_t{4} << 20;

void put(std::byte* at, uint64_t word, size_t bytes) {
    std::memcpy(at, &word, std::min<size_t>(8, bytes));
}

void put_half(std::byte* at, double value) {
    const uint16_t half = quant::float_to_half(static_cast<float>(value));
    std::memcpy(at, &half, sizeof half);
}

void fill_bytes(std::span<std::byte> out, FastRandom& random) {
    for (size_t i = 0; i < out.size(); i += 8)
        put(out.data() + i, random.next(), out.size() - i);
}

// Codes of two bits: 0 and 2 once in four, 1 twice.
void fill_ternary(std::span<std::byte> out, FastRandom& random) {
    constexpr uint64_t kLow = 0x5555555555555555;
    for (size_t i = 0; i < out.size(); i += 8) {
        const uint64_t bits = random.next();
        const uint64_t nonzero = bits & kLow, plus = nonzero & bits >> 1;
        put(out.data() + i, plus << 1 | (~nonzero & kLow), out.size() - i);
    }
}

// 65536 numbers with the distribution of trained weights, as 16-bit floats.
std::vector<uint16_t> normal_values(Type type, double deviation, FastRandom& random) {
    std::vector<uint16_t> out(65'536);
    for (uint16_t& value : out) {
        const uint64_t bits = random.next();
        const double u = static_cast<double>((bits >> 40) + 1) * 0x1p-24;
        const double v = static_cast<double>(bits & 0xFFFFFF) * 0x1p-24;
        const auto normal = static_cast<float>(deviation * std::sqrt(-2 * std::log(u)) *
                                               std::cos(2 * std::numbers::pi * v));
        value = type == Type::kF16 ? quant::float_to_half(normal) : quant::float_to_bf16(normal);
    }
    return out;
}

void fill_halves(std::span<std::byte> out, const std::vector<uint16_t>& values,
                 FastRandom& random) {
    for (size_t i = 0; i < out.size(); i += 8) {
        const uint64_t bits = random.next();
        uint64_t word = 0;
        for (int place = 0; place < 64; place += 16)
            word |= uint64_t{values[bits >> place & 0xFFFF]} << place;
        put(out.data() + i, word, out.size() - i);
    }
}

// Blocks of random codes; the factors make their values' deviation what is asked for.
void fill_q8_0(std::span<std::byte> out, double deviation, FastRandom& random) {
    constexpr size_t kBlock = 34;
    constexpr double kCodeDeviation = 73.3;
    fill_bytes(out, random);
    for (size_t at = 0; at < out.size(); at += kBlock) {
        put_half(&out[at], deviation / kCodeDeviation);
        for (std::byte& code : out.subspan(at + 2, 32))
            code = code == std::byte{0x80} ? std::byte{0x81} : code;  // -128 is never written
    }
}

void fill_q4_k(std::span<std::byte> out, double deviation, FastRandom& random) {
    constexpr size_t kBlock = 144;
    // Of scale * code - 7.5 * minimum, scale and minimum 0..63, code 0..15.
    constexpr double kCodeDeviation = 255;
    fill_bytes(out, random);
    for (size_t at = 0; at < out.size(); at += kBlock) {
        put_half(&out[at], deviation / kCodeDeviation);
        put_half(&out[at + 2], 7.5 * deviation / kCodeDeviation);
    }
}

void fill_q6_k(std::span<std::byte> out, double deviation, FastRandom& random) {
    constexpr size_t kBlock = 210, kFactor = 208;
    constexpr double kCodeDeviation = 1370;  // of scale * code, -128..127 and -32..31
    fill_bytes(out, random);
    for (size_t at = 0; at < out.size(); at += kBlock)
        put_half(&out[at + kFactor], deviation / kCodeDeviation);
}

// Rows of a float scale and codes.
void fill_iq2_bn(std::span<std::byte> out, size_t row_bytes, float scale, FastRandom& random) {
    for (size_t at = 0; at < out.size(); at += row_bytes) {
        std::memcpy(&out[at], &scale, sizeof scale);
        fill_ternary(out.subspan(at + sizeof scale, row_bytes - sizeof scale), random);
    }
}

// Calls fill(part) for parts of about 4 MiB that are whole rows.
template <typename F>
Result<void> for_parts(uint64_t rows, uint64_t row_bytes, const Sink& sink, F fill) {
    const uint64_t at_once = std::clamp<uint64_t>(kPartBytes / row_bytes, 1, rows);
    std::vector<std::byte> buffer(at_once * row_bytes);
    for (uint64_t row = 0; row < rows; row += at_once) {
        const std::span part = std::span(buffer).first(std::min(at_once, rows - row) * row_bytes);
        fill(part);
        BITNETD_TRY(sink(part));
    }
    return {};
}

}  // namespace

Result<void> random_matrix(Type type, quant::Shape shape, FastRandom& random, const Sink& sink) {
    const double deviation = 1 / std::sqrt(static_cast<double>(shape.columns));
    const auto scale = static_cast<float>(deviation * std::numbers::sqrt2);  // half are zeros
    const quant::TypeInfo& info = quant::info_of(type);
    const uint64_t row_bytes =
        info.row_header_bytes + shape.columns / info.block_elements * info.block_bytes;
    const auto parts = [&](auto fill) { return for_parts(shape.rows, row_bytes, sink, fill); };
    using Part = std::span<std::byte>;
    switch (type) {
        case Type::kI2_S:
            BITNETD_TRY(parts([&](Part part) { fill_ternary(part, random); }));
            return sink(quant::i2_s_tail(scale));
        case Type::kIQ2_BN:
            return parts([&](Part part) { fill_iq2_bn(part, row_bytes, scale, random); });
        case Type::kF16:
        case Type::kBF16: {
            const std::vector<uint16_t> values = normal_values(type, deviation, random);
            return parts([&](Part part) { fill_halves(part, values, random); });
        }
        case Type::kQ8_0:
            return parts([&](Part part) { fill_q8_0(part, deviation, random); });
        case Type::kQ4_K:
            return parts([&](Part part) { fill_q4_k(part, deviation, random); });
        case Type::kQ6_K:
            return parts([&](Part part) { fill_q6_k(part, deviation, random); });
        default:
            return unsupported("no random weights of type " + std::string(quant::name_of(type)));
    }
}

Result<void> random_norm(uint64_t count, FastRandom& random, const Sink& sink) {
    std::vector<float> values(count);
    for (float& value : values)
        value = 0.5f + static_cast<float>(random.next() >> 40) * 0x1p-24f;
    return sink(std::as_bytes(std::span(values)));
}

}  // namespace bitnetd::bench
