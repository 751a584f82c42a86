#include "supervisor/ctl/answer_json.h"

#include <cmath>

#include "shm/control/text_field.h"

namespace bitnetd::supervisor {
namespace {

const Json* member(const Json& object, const char* key) {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(key);
    return found == object.end() ? nullptr : &*found;
}

}  // namespace

Result<Json> parse_answer(std::string_view text) {
    if (text.size() > kAnswerBytesMax) {
        return invalid("the server's answer is longer than " + std::to_string(kAnswerBytesMax) +
                       " bytes");
    }
    bool too_deep = false;
    const auto watch_depth = [&](int depth, Json::parse_event_t, Json&) {
        too_deep = too_deep || depth > kAnswerDepthMax;
        return !too_deep;  // what is dropped is not kept
    };
    Json json = Json::parse(text.begin(), text.end(), watch_depth, /*allow_exceptions=*/false);
    if (json.is_discarded() || too_deep) {
        return invalid("the server's answer is not JSON as expected: \"" +
                       shm::printable(text.substr(0, 80)) + "\"");
    }
    return json;
}

std::string text_of(const Json& object, const char* key) {
    const Json* text = member(object, key);
    if (text == nullptr || !text->is_string()) return {};
    const std::string_view whole = text->get_ref<const std::string&>();
    return shm::printable(whole.substr(0, kTextBytesMax));
}

double number_of(const Json& object, const char* key) {
    const Json* number = member(object, key);
    if (number == nullptr || !number->is_number()) return 0;
    const double value = number->get<double>();
    return std::isfinite(value) && value > 0 ? value : 0;
}

uint64_t count_of(const Json& object, const char* key) {
    const Json* number = member(object, key);
    if (number != nullptr && number->is_number_unsigned()) return number->get<uint64_t>();
    // Above 2^63 a double may not fit; nothing that is counted comes near.
    return static_cast<uint64_t>(std::min(number_of(object, key), 9e18));
}

bool flag_of(const Json& object, const char* key) {
    const Json* flag = member(object, key);
    return flag != nullptr && flag->is_boolean() && flag->get<bool>();
}

const Json& list_of(const Json& object, const char* key) {
    static const Json kEmpty = Json::array();
    const Json* list = member(object, key);
    return list != nullptr && list->is_array() ? *list : kEmpty;
}

const Json& object_of(const Json& object, const char* key) {
    static const Json kEmpty = Json::object();
    const Json* found = member(object, key);
    return found != nullptr && found->is_object() ? *found : kEmpty;
}

std::string dumped(const Json& json, int indent) {
    return json.dump(indent, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

}  // namespace bitnetd::supervisor
