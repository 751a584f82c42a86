#include "common/text/jinja/value.h"

#include <algorithm>

namespace bitnetd::text::jinja {

namespace {

// The depth of a container with this item, or an error when the item may not be held.
Result<uint32_t> deeper(uint32_t depth, const Value& item, uint32_t item_depth) {
    if (!item.is_data()) {
        return invalid("a " + std::string(to_string(item.kind())) + " cannot be stored");
    }
    if (item_depth >= kDepthMax) return invalid("values are nested too deeply");
    return std::max(depth, item_depth + 1);
}

}  // namespace

std::string_view to_string(Kind kind) {
    switch (kind) {
        case Kind::kUndefined:
            return "undefined value";
        case Kind::kNone:
            return "none";
        case Kind::kBool:
            return "boolean";
        case Kind::kInt:
            return "integer";
        case Kind::kFloat:
            return "float";
        case Kind::kString:
            return "string";
        case Kind::kList:
            return "list";
        case Kind::kDict:
            return "dict";
        case Kind::kNamespace:
            return "namespace";
        case Kind::kLoop:
            return "loop";
        case Kind::kMacro:
            return "macro";
        case Kind::kMethod:
            return "method";
    }
    return "value";
}

const Value* Dict::find(std::string_view key) const {
    for (const DictItem& item : items) {
        if (item.first.str() == key) return &item.second;
    }
    return nullptr;
}

Result<Value> Value::list(List items) {
    Value value;
    for (const Value& item : items) {
        BITNETD_ASSIGN(value.depth_, deeper(value.depth_, item, item.depth_));
    }
    value.content_ = std::make_shared<const List>(std::move(items));
    return value;
}

Result<Value> Value::dict(Dict dict) {
    Value value;
    for (const DictItem& item : dict.items) {
        BITNETD_ASSIGN(value.depth_, deeper(value.depth_, item.second, item.second.depth_));
    }
    value.content_ = std::make_shared<const Dict>(std::move(dict));
    return value;
}

}  // namespace bitnetd::text::jinja
