// Reading the server's JSON with care: the server may be another version, and its texts hold what
// clients and files called things. What is missing or of another type is empty; texts are
// printable.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace bitnetd::supervisor {

using Json = nlohmann::json;

// Bounds of what is read: beyond, the answer is refused.
inline constexpr size_t kAnswerBytesMax = 16u << 20;
inline constexpr int kAnswerDepthMax = 16;
inline constexpr size_t kTextBytesMax = 2048;  // of one text, which is cut there

Result<Json> parse_answer(std::string_view text);

std::string text_of(const Json& object, const char* key);
// 0 where there is none; what is below 0 or not finite is 0 too.
double number_of(const Json& object, const char* key);
uint64_t count_of(const Json& object, const char* key);
bool flag_of(const Json& object, const char* key);
// An array, empty where there is none; likewise an object.
const Json& list_of(const Json& object, const char* key);
const Json& object_of(const Json& object, const char* key);

// One line (`indent` -1) or several; ASCII only, so that nothing in it can speak to a terminal.
std::string dumped(const Json& json, int indent);

}  // namespace bitnetd::supervisor
