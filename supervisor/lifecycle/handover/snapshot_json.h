// How the fields of a snapshot become JSON and back; for snapshot.cc. A struct names its fields
// once, and FieldWriter and FieldReader go through them:
//
//   void describe(auto& field, Either<SlotSnapshot> auto& it) {
//       field("role", it.role);
//       ...
//   }
//
// Reading is strict: every field, of its type and within its range, and no other.
#pragma once

#include <concepts>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace bitnetd::supervisor {

inline constexpr size_t kSnapshotItemsMax = 65536;  // elements of one array

// A T that is read, or one that is written.
template <typename It, typename T>
concept Either = std::same_as<std::remove_const_t<It>, T>;

// The texts of an enum: enum_names(E{}) is found beside the enum's use (argument-dependent).
template <typename E>
using EnumNames = std::span<const std::pair<E, std::string_view>>;

// Any bytes (a path need not be UTF-8) as valid UTF-8, one character for each byte; and back.
std::string bytes_to_text(std::string_view bytes);
std::optional<std::string> text_to_bytes(std::string_view text);

// A struct as hex digits; and back, when there are exactly as many as it takes.
std::string to_hex(std::span<const std::byte> bytes);
bool from_hex(std::string_view hex, std::span<std::byte> bytes);

class FieldWriter {
  public:
    template <typename T>
    void operator()(const char* key, const T& value) {
        object_[key] = to_json(value);
    }
    // A struct of the control ABI, byte for byte.
    template <typename T>
    void raw(const char* key, const T& value) {
        object_[key] = to_hex(std::as_bytes(std::span(&value, 1)));
    }
    nlohmann::json take() { return std::move(object_); }

  private:
    template <typename T>
    static nlohmann::json to_json(const T& value) {
        if constexpr (std::is_arithmetic_v<T>) {
            return value;
        } else if constexpr (std::is_enum_v<T>) {
            for (const auto& [known, text] : enum_names(value))
                if (known == value) return text;
            return static_cast<std::underlying_type_t<T>>(value);  // no reader takes that
        } else {
            FieldWriter fields;
            describe(fields, value);
            return fields.take();
        }
    }
    static nlohmann::json to_json(const std::string& text) { return bytes_to_text(text); }
    template <typename T>
    static nlohmann::json to_json(const std::vector<T>& values) {
        auto array = nlohmann::json::array();
        for (const T& value : values)
            array.push_back(to_json(value));
        return array;
    }
    template <typename T>
    static nlohmann::json to_json(const std::optional<T>& value) {
        return value ? to_json(*value) : nlohmann::json(nullptr);
    }

    nlohmann::json object_ = nlohmann::json::object();
};

class FieldReader {
  public:
    // Of `object`, which is at `where` of the whole: "slots[2]".
    FieldReader(const nlohmann::json& object, std::string where);

    template <typename T>
    void operator()(const char* key, T& value) {
        if (const auto* found = take(key)) read(*found, path(key), value);
    }
    template <typename T>
    requires std::is_trivially_copyable_v<T>
    void raw(const char* key, T& value) {
        const auto* found = take(key);
        if (found == nullptr) return;
        const bool good =
            found->is_string() && from_hex(found->get_ref<const std::string&>(),
                                           std::as_writable_bytes(std::span(&value, 1)));
        if (!good) fail(path(key), std::to_string(sizeof value) + " bytes as hex", *found);
    }

    // The first thing that was wrong; or a field that nobody asked for.
    Result<void> finish();

  private:
    // Null when it is missing, or something was wrong before.
    const nlohmann::json* take(const char* key);
    std::string path(std::string_view key) const;
    void fail(const std::string& where, std::string_view expected, const nlohmann::json& found);

    void read(const nlohmann::json& found, const std::string& where, bool& value);
    void read(const nlohmann::json& found, const std::string& where, std::string& value);

    template <std::integral T>
    void read(const nlohmann::json& found, const std::string& where, T& value) {
        const bool fits = found.is_number_unsigned()
                              ? std::in_range<T>(found.get<uint64_t>())
                              : found.is_number_integer() && std::in_range<T>(found.get<int64_t>());
        if (!fits) return fail(where, "an integer within its range", found);
        value = found.get<T>();
    }

    template <typename T>
    requires std::is_enum_v<T>
    void read(const nlohmann::json& found, const std::string& where, T& value) {
        std::string expected = "one of";
        for (const auto& [known, text] : enum_names(T{})) {
            if (found == text) {
                value = known;
                return;
            }
            expected += " " + std::string(text);
        }
        fail(where, expected, found);
    }

    template <typename T>
    void read(const nlohmann::json& found, const std::string& where, std::vector<T>& values) {
        if (!found.is_array() || found.size() > kSnapshotItemsMax) {
            return fail(where, "an array of at most " + std::to_string(kSnapshotItemsMax), found);
        }
        for (size_t i = 0; i < found.size() && !error_; ++i) {
            read(found[i], where + "[" + std::to_string(i) + "]", values.emplace_back());
        }
    }

    template <typename T>
    void read(const nlohmann::json& found, const std::string& where, std::optional<T>& value) {
        if (!found.is_null()) read(found, where, value.emplace());
    }

    template <typename T>
    requires std::is_class_v<T>
    void read(const nlohmann::json& found, const std::string& where, T& value) {
        FieldReader fields(found, where);
        describe(fields, value);
        if (auto result = fields.finish(); !result.ok()) error_ = std::move(result).error();
    }

    const nlohmann::json& object_;
    std::string where_;
    std::optional<Error> error_;
    size_t taken_ = 0;
};

}  // namespace bitnetd::supervisor
