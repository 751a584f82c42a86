#include "supervisor/frontend/dispatch/flight.h"

#include <xxhash.h>

#include <cstdio>

namespace bitnetd::frontend {

std::string_view to_string(Priority priority) {
    switch (priority) {
        case Priority::kHigh:
            return "high";
        case Priority::kNormal:
            return "normal";
        case Priority::kLow:
            return "low";
    }
    return "normal";
}

std::string_view to_string(EndReason reason) {
    switch (reason) {
        case EndReason::kStop:
            return "stop";
        case EndReason::kLength:
            return "length";
        case EndReason::kTimeout:
            return "timeout";
        case EndReason::kQuarantined:
            return "quarantined";
        case EndReason::kTooLong:
            return "too_long";
        case EndReason::kBadNumbers:
            return "bad_numbers";
        case EndReason::kInternal:
            return "internal";
        case EndReason::kModelGone:
            return "model_gone";
        case EndReason::kShutdown:
            return "shutdown";
        case EndReason::kCanaryGone:
            return "canary_gone";
    }
    return "unknown";
}

std::string_view device_class(std::string_view device) {
    return device.starts_with("cpu") ? "cpu" : device;
}

PromptDigest digest_of(std::span<const uint32_t> prompt) {
    const XXH128_hash_t hash = XXH3_128bits(prompt.data(), prompt.size_bytes());
    return {hash.high64, hash.low64};
}

std::string to_hex(const PromptDigest& digest) {
    char text[33];
    std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(digest.high),
                  static_cast<unsigned long long>(digest.low));
    return text;
}

}  // namespace bitnetd::frontend
