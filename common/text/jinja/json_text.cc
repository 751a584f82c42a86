#include "common/text/jinja/json_text.h"

#include <algorithm>
#include <limits>

#include "common/text/jinja/strings.h"
#include "common/text/jinja/value_ops.h"
#include "common/text/utf8.h"

namespace bitnetd::text::jinja {

namespace {

using Json = nlohmann::ordered_json;

bool is_usual_role(std::string_view role) {
    constexpr std::string_view kRoles[] = {"system",    "user",  "assistant", "tool",
                                           "developer", "model", "function",  "ipython"};
    return std::find(std::begin(kRoles), std::end(kRoles), role) != std::end(kRoles);
}

Result<Value> from_json_at(Context& context, const Json& json, bool trusted, uint32_t depth) {
    if (depth > kDepthMax) return invalid("a value is nested too deeply");
    BITNETD_TRY(context.budget.spend());
    switch (json.type()) {
        case Json::value_t::boolean:
            return Value(json.get<bool>());
        case Json::value_t::number_integer:
            return Value(json.get<int64_t>());
        case Json::value_t::number_unsigned: {
            const auto number = json.get<uint64_t>();
            if (number <= uint64_t{std::numeric_limits<int64_t>::max()}) {
                return Value(static_cast<int64_t>(number));
            }
            return Value(static_cast<double>(number));
        }
        case Json::value_t::number_float:
            return Value(json.get<double>());
        case Json::value_t::string:
            return Value(MarkedText(json.get_ref<const std::string&>(), trusted));
        case Json::value_t::array: {
            List items;
            items.reserve(json.size());
            for (const Json& item : json) {
                BITNETD_ASSIGN(Value value, from_json_at(context, item, trusted, depth + 1));
                items.push_back(std::move(value));
            }
            return Value::list(std::move(items));
        }
        case Json::value_t::object: {
            Dict dict;
            dict.items.reserve(json.size());
            for (const auto& [key, item] : json.items()) {
                const bool role = key == "role" && item.is_string() &&
                                  is_usual_role(item.get_ref<const std::string&>());
                BITNETD_ASSIGN(Value value,
                               from_json_at(context, item, trusted || role, depth + 1));
                dict.items.emplace_back(MarkedText(key, trusted), std::move(value));
            }
            return Value::dict(std::move(dict));
        }
        default:
            return Value(None{});
    }
}

// One character as \uXXXX, in two halves beyond U+FFFF.
std::string unicode_escape(uint32_t c) {
    if (c < 0x10000) return "\\u" + hex(c, 4);
    c -= 0x10000;
    return "\\u" + hex(0xD800 + (c >> 10), 4) + "\\u" + hex(0xDC00 + (c & 0x3FF), 4);
}

// Empty when the character stands for itself.
std::string json_escape(uint32_t c, bool ensure_ascii) {
    switch (c) {
        case '"':
            return "\\\"";
        case '\\':
            return "\\\\";
        case '\n':
            return "\\n";
        case '\r':
            return "\\r";
        case '\t':
            return "\\t";
        case '\b':
            return "\\b";
        case '\f':
            return "\\f";
        default:
            break;
    }
    if (c < 0x20 || (ensure_ascii && c >= 0x80)) return unicode_escape(c);
    return {};
}

class JsonWriter {
  public:
    JsonWriter(Context& context, const JsonStyle& style) : context_(context), style_(style) {}

    Result<void> write(const Value& value, int level) {
        BITNETD_TRY(context_.budget.spend());
        switch (value.kind()) {
            case Kind::kNone:
                return append("null");
            case Kind::kBool:
                return append(value.boolean() ? "true" : "false");
            case Kind::kInt:
                return append(std::to_string(value.integer()));
            case Kind::kFloat:
                return append(float_text(value.number()));
            case Kind::kString:
                return write_string(value.text());
            case Kind::kList:
                return write_list(value.items(), level);
            case Kind::kDict:
                return write_dict(value.dict(), level);
            default:
                return invalid("a " + std::string(to_string(value.kind())) +
                               " cannot be written as JSON");
        }
    }
    MarkedText take() { return std::move(out_); }

  private:
    Result<void> append(std::string_view text) {
        out_.append(text, true);
        return context_.budget.spend_text(text.size());
    }
    // Between brackets and items: a new line at this level, when lines are wanted.
    Result<void> new_line(int level) {
        if (style_.indent < 0) return {};
        return append("\n" + std::string(static_cast<size_t>(style_.indent * level), ' '));
    }
    Result<void> write_string(const MarkedText& text) {
        BITNETD_TRY(context_.budget.spend_text(text.size() + 2));
        out_.append("\"", true);
        size_t plain = 0;  // from here to `at` nothing needs an escape
        for (size_t at = 0; at < text.size();) {
            const uint32_t c = decode_utf8(text.str(), at).value;
            const size_t end = next_character(text.str(), at);
            const std::string escape = json_escape(c, style_.ensure_ascii);
            if (!escape.empty()) {
                out_.append(text, plain, at);
                BITNETD_TRY(append(escape));
                plain = end;
            }
            at = end;
        }
        out_.append(text, plain, text.size());
        out_.append("\"", true);
        return {};
    }
    Result<void> separate(bool first, int level) {
        if (!first) {
            // With lines, the blank behind a comma would end the line.
            std::string_view comma = style_.item_separator;
            if (style_.indent >= 0 && comma == ", ") comma = ",";
            BITNETD_TRY(append(comma));
        }
        return new_line(level);
    }
    Result<void> write_list(const List& items, int level) {
        if (items.empty()) return append("[]");
        BITNETD_TRY(append("["));
        for (size_t i = 0; i < items.size(); ++i) {
            BITNETD_TRY(separate(i == 0, level + 1));
            BITNETD_TRY(write(items[i], level + 1));
        }
        BITNETD_TRY(new_line(level));
        return append("]");
    }
    Result<void> write_dict(const Dict& dict, int level) {
        if (dict.items.empty()) return append("{}");
        std::vector<const DictItem*> items;
        for (const DictItem& item : dict.items)
            items.push_back(&item);
        if (style_.sort_keys) {
            std::stable_sort(items.begin(), items.end(), [](const DictItem* a, const DictItem* b) {
                return a->first.str() < b->first.str();
            });
        }
        BITNETD_TRY(append("{"));
        for (size_t i = 0; i < items.size(); ++i) {
            BITNETD_TRY(separate(i == 0, level + 1));
            BITNETD_TRY(write_string(items[i]->first));
            BITNETD_TRY(append(style_.key_separator));
            BITNETD_TRY(write(items[i]->second, level + 1));
        }
        BITNETD_TRY(new_line(level));
        return append("}");
    }

    Context& context_;
    const JsonStyle& style_;
    MarkedText out_;
};

}  // namespace

Result<Value> from_json(Context& context, const Json& json, bool trusted) {
    return from_json_at(context, json, trusted, 0);
}

Result<MarkedText> to_json(Context& context, const Value& value, const JsonStyle& style) {
    JsonWriter writer(context, style);
    BITNETD_TRY(writer.write(value, 0));
    return writer.take();
}

}  // namespace bitnetd::text::jinja
