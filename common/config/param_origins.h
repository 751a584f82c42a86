// Where each setting was set, for messages that send the operator to the right line: "b.toml:12",
// "environment BITNETD_SERVER__WORKERS", "command line".
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace bitnetd {

class ParamOrigins {
  public:
    // The last place wins, as the last value does.
    void set(std::string_view section, std::string_view name, std::string place);

    // Of "section.name"; empty: it has its default.
    std::string_view of(std::string_view key) const;

    // Prefixes the place of the first setting that the message names and that is not at its
    // default: a rule over several rows may be broken by either.
    Error locate(Error error) const;

  private:
    std::map<std::string, std::string, std::less<>> places_;  // by key
};

}  // namespace bitnetd
