// Result<T>: a value, or an Error that says what was expected, what was found and what to do.
// For failures that a correct program meets (bad input, missing file, ring full). Broken
// invariants use BITNETD_CHECK (check.h); exceptions stay inside shm/segment/ and main.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace bitnetd {

enum class ErrorCode : uint8_t {
    kInvalid,      // the input is wrong and will stay wrong
    kNotFound,     // what was named does not exist
    kUnsupported,  // well-formed, but not something this build can do
    kExhausted,    // a limit or a queue is full; later may work
    kUnavailable,  // the other side is gone or not ready; later may work
    kIo,           // the operating system refused; `message` carries errno's text
    kInternal,     // should not happen; the message helps whoever debugs it
};

std::string_view to_string(ErrorCode code);

struct [[nodiscard]] Error {
    ErrorCode code = ErrorCode::kInternal;
    std::string message;

    // Prefixes what the caller was doing: "load model.gguf: tensor blk.0.attn_q.weight: ...".
    Error within(std::string_view doing) && {
        message.insert(0, std::string(doing) + ": ");
        return std::move(*this);
    }
};

inline Error invalid(std::string message) {
    return {ErrorCode::kInvalid, std::move(message)};
}
inline Error unsupported(std::string message) {
    return {ErrorCode::kUnsupported, std::move(message)};
}
// "<doing>: <strerror(error)>"; `error` is an errno value.
Error io_error(std::string_view doing, int error);

template <typename T>
class [[nodiscard]] Result {
  public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    bool ok() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return ok(); }

    T& value() & { return std::get<0>(state_); }
    const T& value() const& { return std::get<0>(state_); }
    T&& value() && { return std::get<0>(std::move(state_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    Error& error() & { return std::get<1>(state_); }
    const Error& error() const& { return std::get<1>(state_); }
    Error&& error() && { return std::get<1>(std::move(state_)); }

  private:
    std::variant<T, Error> state_;
};

// Success without a value: `return {};` or `return invalid("...")`.
template <>
class [[nodiscard]] Result<void> {
  public:
    Result() = default;
    Result(Error error) : error_(std::move(error)) {}

    bool ok() const noexcept { return !error_.has_value(); }
    explicit operator bool() const noexcept { return ok(); }
    Error& error() & { return *error_; }
    const Error& error() const& { return *error_; }
    Error&& error() && { return std::move(*error_); }

  private:
    std::optional<Error> error_;
};

// Leaves the calling function with the error of a failed Result.
#define BITNETD_TRY(expression)                                         \
    do {                                                                \
        if (auto bitnetd_result_ = (expression); !bitnetd_result_.ok()) \
            return std::move(bitnetd_result_).error();                  \
    } while (false)

#define BITNETD_CONCAT_(a, b) a##b
#define BITNETD_CONCAT(a, b) BITNETD_CONCAT_(a, b)

// BITNETD_ASSIGN(auto x, f()): the value of a Result, or leaves with its error.
#define BITNETD_ASSIGN(declaration, expression) \
    BITNETD_ASSIGN_(declaration, expression, BITNETD_CONCAT(bitnetd_result_, __LINE__))
#define BITNETD_ASSIGN_(declaration, expression, result) \
    auto result = (expression);                          \
    if (!result.ok()) return std::move(result).error();  \
    declaration = std::move(result).value()

}  // namespace bitnetd
