// Reading a request body: strict JSON, and fields with types and bounds whose errors name them.
// Untrusted input; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "supervisor/frontend/api/errors.h"
#include "supervisor/frontend/api/ordered_json.h"

namespace bitnetd::frontend {

inline constexpr size_t kJsonDepthMax = 64;
// Values of one body. A value costs up to 100 times its two bytes on the wire.
inline constexpr size_t kJsonValuesMax = 2'000'000;

// One JSON object: UTF-8, no lone surrogates, nothing behind it, bounded in depth and values; of
// duplicate names the last counts. Objects keep the order of their keys.
std::optional<ApiError> parse_json_object(std::string_view body, OrderedJson& object);

struct NumberBounds {
    double min;
    double max;
    bool above_min = false;  // min itself is out of bounds
};

// The fields of one object. null counts as absent. The first error is kept; after it, getters go on
// but their values do not matter.
class Fields {
  public:
    // `object` must outlive this. `path` is put in front of names in errors: "stream_options.".
    explicit Fields(const OrderedJson& object, std::string path = "")
        : object_(object), path_(std::move(path)) {}

    const OrderedJson* find(std::string_view name);
    std::optional<bool> boolean(std::string_view name);
    std::optional<double> number(std::string_view name, NumberBounds bounds);
    std::optional<uint64_t> integer(std::string_view name, uint64_t min, uint64_t max);
    // The bits of a number in -2^63 .. 2^64 - 1.
    std::optional<uint64_t> wide_integer(std::string_view name);
    std::optional<std::string> text(std::string_view name, size_t bytes_max);
    // Index of one of `choices`.
    std::optional<size_t> choice(std::string_view name,
                                 std::initializer_list<std::string_view> choices);
    // An object; its own errors are the caller's to fetch.
    const OrderedJson* object(std::string_view name);

    // Fields that are accepted and do nothing here.
    void ignore(std::initializer_list<std::string_view> names);
    // Fails for any field that nobody asked for.
    void refuse_unknown();

    void fail(ApiError error);
    void wrong(std::string_view name, std::string_view expected);  // "'x' must be EXPECTED."
    bool failed() const { return error_.has_value(); }
    const std::optional<ApiError>& error() const { return error_; }

  private:
    const OrderedJson& object_;
    const std::string path_;
    std::set<std::string, std::less<>> known_;
    std::optional<ApiError> error_;
};

}  // namespace bitnetd::frontend
