// Text of untrusted origin, made fit for an error message.
#pragma once

#include <string>
#include <string_view>

namespace bitnetd {

// The first 64 bytes between single quotes, with '?' for what is not printable ASCII.
std::string quote(std::string_view text);

}  // namespace bitnetd
