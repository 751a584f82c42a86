#include "common/base/result.h"

#include <cstring>

namespace bitnetd {

std::string_view to_string(ErrorCode code) {
    switch (code) {
        case ErrorCode::kInvalid:
            return "invalid";
        case ErrorCode::kNotFound:
            return "not_found";
        case ErrorCode::kUnsupported:
            return "unsupported";
        case ErrorCode::kExhausted:
            return "exhausted";
        case ErrorCode::kUnavailable:
            return "unavailable";
        case ErrorCode::kIo:
            return "io";
        case ErrorCode::kInternal:
            return "internal";
    }
    return "unknown";
}

Error io_error(std::string_view doing, int error) {
    char text[128];
    return {ErrorCode::kIo, std::string(doing) + ": " + strerror_r(error, text, sizeof text)};
}

}  // namespace bitnetd
