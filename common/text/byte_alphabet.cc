#include "common/text/byte_alphabet.h"

#include <array>

#include "common/text/utf8.h"

namespace bitnetd::text {

namespace {

constexpr uint32_t kFirstShifted = 0x100;
constexpr uint32_t kShiftedCount = 68;

constexpr bool stands_for_itself(uint32_t byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
    std::array<uint16_t, 256> of_byte{};
    std::array<uint8_t, kShiftedCount> of_shifted{};
};

constexpr Alphabet make_alphabet() {
    Alphabet alphabet;
    uint32_t shifted = 0;
    for (uint32_t byte = 0; byte < 256; ++byte) {
        if (stands_for_itself(byte)) {
            alphabet.of_byte[byte] = static_cast<uint16_t>(byte);
        } else {
            alphabet.of_shifted[shifted] = static_cast<uint8_t>(byte);
            alphabet.of_byte[byte] = static_cast<uint16_t>(kFirstShifted + shifted++);
        }
    }
    return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();
static_assert(kAlphabet.of_byte[' '] == 0x120 && kAlphabet.of_byte[0xAD] == 0x143);

}  // namespace

uint32_t byte_to_alphabet(uint8_t byte) noexcept {
    return kAlphabet.of_byte[byte];
}

std::optional<std::string> alphabet_to_bytes(std::string_view mapped) {
    std::string bytes;
    bytes.reserve(mapped.size());
    for (size_t at = 0; at < mapped.size();) {
        const CodePoint c = decode_utf8(mapped, at);
        if (c.bytes == 0) return std::nullopt;
        if (c.value < 256 && stands_for_itself(c.value)) {
            bytes += static_cast<char>(c.value);
        } else if (c.value >= kFirstShifted && c.value < kFirstShifted + kShiftedCount) {
            bytes += static_cast<char>(kAlphabet.of_shifted[c.value - kFirstShifted]);
        } else {
            return std::nullopt;
        }
        at += c.bytes;
    }
    return bytes;
}

}  // namespace bitnetd::text
