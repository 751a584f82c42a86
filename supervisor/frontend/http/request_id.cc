#include "supervisor/frontend/http/request_id.h"

#include <sys/random.h>

#include "common/base/check.h"
#include "supervisor/frontend/http/chars.h"

namespace bitnetd::frontend::http {

bool is_sane_request_id(std::string_view id) {
    return !id.empty() && id.size() <= 128 && all_in(kRequestIdChars, id);
}

RequestIds::RequestIds() {
    // 16 bytes are never short, and early boot is behind us.
    BITNETD_CHECK(getrandom(state_, sizeof state_, 0) == sizeof state_);
}

// SplitMix64 over a 64-bit counter with a random odd step: a permutation, so no word repeats before
// 2^64 draws, and two processes walk different sequences.
uint64_t RequestIds::next() {
    state_[0] += state_[1] | 1;
    uint64_t z = state_[0];
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void RequestIds::draw(std::string& id) {
    static constexpr char kDigits[] = "0123456789abcdef";
    uint64_t words[2] = {next(), next()};
    words[0] = (words[0] & ~uint64_t{0xf000}) | 0x4000;                  // version 4
    words[1] = (words[1] & ~(uint64_t{3} << 62)) | (uint64_t{2} << 62);  // variant 1
    id.resize(36);
    size_t at = 0;
    for (unsigned nibble = 0; nibble < 32; ++nibble) {
        if (at == 8 || at == 13 || at == 18 || at == 23) id[at++] = '-';
        id[at++] = kDigits[words[nibble / 16] >> (60 - 4 * (nibble % 16)) & 15];
    }
}

}  // namespace bitnetd::frontend::http
