#include "common/config/control_path.h"

#include <cstdlib>

namespace bitnetd {

std::string control_path(const std::string& said) {
    if (!said.empty()) return said;
    const char* variable = std::getenv("BITNETD_SERVER__CONTROL");
    return variable != nullptr && *variable != '\0' ? variable : kDefaultControl;
}

std::string control_help() {
    return std::string(
               "The server's control socket. Without it: what BITNETD_SERVER__CONTROL says, "
               "else ") +
           kDefaultControl + ".";
}

}  // namespace bitnetd
