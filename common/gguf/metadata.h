// The key/value pairs of a GGUF file, and typed look-ups that say what is wrong with a bad one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/result.h"

namespace bitnetd::gguf {

// As numbered in the file.
enum class ValueType : uint32_t {
    kU8 = 0,
    kI8 = 1,
    kU16 = 2,
    kI16 = 3,
    kU32 = 4,
    kI32 = 5,
    kF32 = 6,
    kBool = 7,
    kString = 8,
    kArray = 9,
    kU64 = 10,
    kI64 = 11,
    kF64 = 12,
};
std::string_view to_string(ValueType type);

struct Array {
    ValueType element = ValueType::kU8;  // never kArray
    uint64_t count = 0;
    std::vector<std::byte> scalars;    // packed little-endian, unless strings
    std::vector<std::string> strings;  // of a string array
};

struct Value {
    ValueType type = ValueType::kU8;
    // unsigned types, signed types, f32 and f64, bool, string, array
    std::variant<uint64_t, int64_t, double, bool, std::string, Array> content;
};

// What a look-up gives: an error for a value of the wrong type or out of range, nothing when the
// key is absent.
template <typename T>
using Found = Result<std::optional<T>>;

class Metadata {
  public:
    // False when the key is there already.
    bool insert(std::string key, Value value);

    size_t size() const { return values_.size(); }
    const Value* find(std::string_view key) const;
    const std::map<std::string, Value, std::less<>>& all() const { return values_; }

    // Any integer type; refused when negative or above `max`.
    Found<uint64_t> integer(std::string_view key, uint64_t max) const;
    Found<double> number(std::string_view key) const;  // f32 or f64
    Found<bool> boolean(std::string_view key) const;
    Found<std::string_view> text(std::string_view key) const;

    // Arrays; the views stay valid as long as this object.
    Found<std::span<const std::string>> texts(std::string_view key) const;
    Found<std::vector<int64_t>> integers(std::string_view key) const;  // any integer element type
    Found<std::vector<float>> floats(std::string_view key) const;      // f32 elements

  private:
    std::map<std::string, Value, std::less<>> values_;
};

// The value of a look-up, or an error that names the key when it is absent.
template <typename T>
Result<T> required(std::string_view key, Found<T> found) {
    if (!found) return std::move(found).error();
    if (!*found) return invalid("key " + std::string(key) + " is missing");
    return std::move(**found);
}

}  // namespace bitnetd::gguf
