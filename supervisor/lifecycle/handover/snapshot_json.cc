#include "supervisor/lifecycle/handover/snapshot_json.h"

#include "common/base/quote.h"

namespace bitnetd::supervisor {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

}  // namespace

// The byte b is the character U+00b: two bytes of UTF-8 from 0x80 on.
std::string bytes_to_text(std::string_view bytes) {
    std::string text;
    text.reserve(bytes.size());
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x80) {
            text += c;
        } else {
            text += static_cast<char>(0xc0 | byte >> 6);
            text += static_cast<char>(0x80 | (byte & 0x3f));
        }
    }
    return text;
}

std::optional<std::string> text_to_bytes(std::string_view text) {
    std::string bytes;
    bytes.reserve(text.size());
    for (size_t i = 0; i < text.size(); ++i) {
        const auto first = static_cast<unsigned char>(text[i]);
        if (first < 0x80) {
            bytes += text[i];
            continue;
        }
        // U+0080 .. U+00FF begin with c2 or c3.
        if ((first != 0xc2 && first != 0xc3) || i + 1 == text.size()) return std::nullopt;
        const auto second = static_cast<unsigned char>(text[++i]);
        if ((second & 0xc0) != 0x80) return std::nullopt;
        bytes += static_cast<char>((first & 0x03) << 6 | (second & 0x3f));
    }
    return bytes;
}

std::string to_hex(std::span<const std::byte> bytes) {
    std::string hex;
    hex.reserve(2 * bytes.size());
    for (const std::byte byte : bytes) {
        hex += kHexDigits[std::to_integer<size_t>(byte) >> 4];
        hex += kHexDigits[std::to_integer<size_t>(byte) & 15];
    }
    return hex;
}

bool from_hex(std::string_view hex, std::span<std::byte> bytes) {
    if (hex.size() != 2 * bytes.size()) return false;
    for (size_t i = 0; i < bytes.size(); ++i) {
        const size_t high = kHexDigits.find(hex[2 * i]);
        const size_t low = kHexDigits.find(hex[2 * i + 1]);
        if (high == hex.npos || low == hex.npos) return false;
        bytes[i] = static_cast<std::byte>(high << 4 | low);
    }
    return true;
}

FieldReader::FieldReader(const nlohmann::json& object, std::string where)
    : object_(object), where_(std::move(where)) {
    if (!object.is_object()) fail(where_.empty() ? "the whole" : where_, "an object", object);
}

Result<void> FieldReader::finish() {
    if (error_) return std::move(*error_);
    if (taken_ == object_.size()) return {};
    return invalid("state: " + (where_.empty() ? "the whole" : where_) + " has " +
                   std::to_string(object_.size()) + " fields, this build knows " +
                   std::to_string(taken_));
}

const nlohmann::json* FieldReader::take(const char* key) {
    if (error_) return nullptr;
    const auto found = object_.find(key);
    if (found == object_.end()) {
        error_ = invalid("state: " + path(key) + " is missing");
        return nullptr;
    }
    ++taken_;
    return &*found;
}

std::string FieldReader::path(std::string_view key) const {
    return where_.empty() ? std::string(key) : where_ + "." + std::string(key);
}

void FieldReader::fail(const std::string& where, std::string_view expected,
                       const nlohmann::json& found) {
    // Numbers and texts are short enough to be shown; of others the type says enough.
    const std::string shown =
        found.is_structured() ? found.type_name()
                              : found.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    error_ = invalid("state: " + where + ": expected " + std::string(expected) + ", found " +
                     quote(shown));
}

void FieldReader::read(const nlohmann::json& found, const std::string& where, bool& value) {
    if (!found.is_boolean()) return fail(where, "true or false", found);
    value = found.get<bool>();
}

void FieldReader::read(const nlohmann::json& found, const std::string& where, std::string& value) {
    auto bytes =
        found.is_string() ? text_to_bytes(found.get_ref<const std::string&>()) : std::nullopt;
    if (!bytes) return fail(where, "a text of one-byte characters", found);
    value = std::move(*bytes);
}

}  // namespace bitnetd::supervisor
