// Writing JSON by hand where it is done per token, and the few numbers that need a rule.
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bitnetd::frontend {

// Appends `text` escaped for the inside of a JSON string. `text` must be valid UTF-8.
void append_json_escaped(std::string& out, std::string_view text);

// With its quotes. Ill-formed bytes become U+FFFD.
void append_json_string(std::string& out, std::string_view text);
void append_json_string_or_null(std::string& out, std::string_view text);  // empty: null

// The shortest text that reads back as the same number, which is finite.
void append_json_number(std::string& out, double number);

// JSON has no infinity: a banned token's logprob is -9999, as other servers print it.
double json_logprob(float logprob);

// "2023-11-14T22:13:20Z"
std::string utc_time(int64_t unix_s);

// Milliseconds with three decimals' worth of digits.
double milliseconds(uint64_t ns);

}  // namespace bitnetd::frontend
