// I2_S (128/32), TQ1_0 and TQ2_0 from digits.
#include <algorithm>
#include <cstring>

#include "common/quant/encode_families.h"
#include "common/quant/tq_digits.h"

namespace bitnetd::quant {
namespace {

unsigned code(int8_t digit) noexcept {
    return static_cast<unsigned>(digit + 1);
}

void encode_tq2_block(const int8_t* digits, std::byte* out) noexcept {
    for (size_t at = 0; at < 64; ++at) {
        unsigned byte = 0;
        for (size_t g = 0; g < 4; ++g)
            byte |= code(digits[at / 32 * 128 + 32 * g + at % 32]) << (2 * g);
        out[at] = static_cast<std::byte>(byte);
    }
}

// The byte is the number whose digits they are, as a fraction of 243 rounded up to one of 256; a
// missing fifth digit is 0.
void encode_tq1_block(const int8_t* digits, std::byte* out) noexcept {
    for (const Tq1Stretch& s : kTq1Stretches) {
        for (size_t l = 0; l < s.bytes; ++l) {
            unsigned number = 0;
            for (size_t n = 0; n < 5; ++n) {
                const size_t element = s.first_element + n * s.bytes + l;
                number = 3 * number + (n < s.digits ? code(digits[element]) : 0);
            }
            out[s.first_byte + l] = static_cast<std::byte>((256 * number + 242) / 243);
        }
    }
}

}  // namespace

void encode_i2_s(std::span<const int8_t> row, std::byte* out) noexcept {
    for (size_t at = 0; at < row.size() / 4; ++at) {
        unsigned byte = 0;
        for (size_t part = 0; part < 4; ++part)
            byte = byte << 2 | code(row[at / 32 * 128 + 32 * part + at % 32]);
        out[at] = static_cast<std::byte>(byte);
    }
}

void encode_tq(Type type, std::span<const int8_t> row, uint16_t scale, std::byte* out) noexcept {
    const size_t block_bytes = info_of(type).block_bytes;
    for (size_t first = 0; first < row.size(); first += kTqElements, out += block_bytes) {
        const int8_t* digits = row.data() + first;
        (type == Type::kTQ1_0 ? encode_tq1_block : encode_tq2_block)(digits, out);
        const bool zeros =
            std::all_of(digits, digits + kTqElements, [](int8_t digit) { return digit == 0; });
        const uint16_t stored = zeros ? uint16_t{0} : scale;
        std::memcpy(out + block_bytes - sizeof stored, &stored, sizeof stored);
    }
}

}  // namespace bitnetd::quant
