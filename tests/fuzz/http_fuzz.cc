// Feeds any bytes, cut into reads in any way, to the HTTP parser: head scanner, llhttp, chunks.
//
// Holds: it never takes more than it was given; it keeps less than its limits; what it reads does
// not depend on the cuts; and what it accepts is what a careful reader of RFC 9112 would accept.
// Input: eight bytes that choose the cuts, then the bytes of a connection.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/check.h"
#include "supervisor/frontend/http/chars.h"
#include "supervisor/frontend/http/request_id.h"
#include "supervisor/frontend/http/request_parser.h"

namespace {

using namespace bitnetd::frontend;
using namespace bitnetd::frontend::http;
using State = RequestParser::State;

// Small, so that inputs of a few hundred bytes reach them.
Limits small_limits() {
    Limits limits;
    limits.start_line_bytes_max = 64;
    limits.head_bytes_max = 256;
    limits.fields_max = 6;
    limits.body_bytes_max = 96;
    return limits;
}

// The sizes of successive reads.
class Cuts {
  public:
    explicit Cuts(uint64_t seed) : seed_(seed) {}
    size_t next() {
        if (seed_ == 0) return SIZE_MAX;  // everything in one read
        seed_ = seed_ * 6364136223846793005u + 1442695040888963407u;
        const uint64_t draw = seed_ >> 33;
        return draw % 3 == 0 ? 1 : 1 + draw % 41;
    }

  private:
    uint64_t seed_;
};

void check_accepted(const Request& request, const Limits& limits) {
    BITNETD_CHECK(request.path.starts_with('/') || request.path == "*");
    BITNETD_CHECK(all_in(kTargetChars, request.path + request.query) || request.path == "*");
    BITNETD_CHECK(request.body.size() <= limits.body_bytes_max);
    BITNETD_CHECK(request.headers.size() <= limits.fields_max);
    BITNETD_CHECK(request.request_id.empty() || is_sane_request_id(request.request_id));
    size_t lengths = 0;
    for (const auto& [name, value] : request.headers) {
        BITNETD_CHECK(!name.empty() && all_in(kTokenChars, name));
        BITNETD_CHECK(
            std::none_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; }));
        BITNETD_CHECK(find_control(value, 0) == value.size());
        BITNETD_CHECK(trim(value) == value);
        lengths += name == "content-length" || name == "transfer-encoding" ? 1 : 0;
    }
    BITNETD_CHECK(lengths <= 1);
    BITNETD_CHECK(lengths == 1 || request.body.empty());
}

std::string describe(const Request& request) {
    std::string text =
        std::string(to_string(request.method)) + ' ' + request.path + '?' + request.query;
    for (const auto& [name, value] : request.headers)
        text += '\n' + name + ':' + value;
    return text + "\n\n" + request.body + '\n' + request.request_id;
}

// What was read, one entry for each request and one for the refusal.
std::vector<std::string> read_all(std::string_view bytes, uint64_t seed) {
    const Limits limits = small_limits();
    RequestParser parser(limits);
    Cuts cuts(seed);
    std::vector<std::string> seen;
    std::string kept;
    while (!bytes.empty()) {
        const std::string_view read = bytes.substr(0, cuts.next());
        bytes.remove_prefix(read.size());
        kept += read;
        while (!kept.empty()) {
            const size_t taken = parser.parse(kept);
            BITNETD_CHECK(taken <= kept.size());
            kept.erase(0, taken);
            if (parser.state() == State::kRefused) {
                seen.emplace_back(parser.refusal().message);
                return seen;
            }
            if (parser.state() != State::kComplete) break;
            check_accepted(parser.request(), limits);
            seen.push_back(describe(parser.request()));
            parser.next();
        }
        // Size lines of chunks have a bound of their own, 512 bytes and their CRLF.
        BITNETD_CHECK(kept.size() <= std::max<size_t>(limits.head_bytes_max, 514) + 2);
    }
    return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    uint64_t seed = 0;
    if (size < sizeof seed) return 0;
    std::memcpy(&seed, data, sizeof seed);
    const std::string_view bytes(reinterpret_cast<const char*>(data) + sizeof seed,
                                 size - sizeof seed);
    const auto whole = read_all(bytes, 0);
    BITNETD_CHECK(read_all(bytes, seed | 1) == whole);
    BITNETD_CHECK(read_all(bytes, ~seed | 2) == whole);
    return 0;
}
