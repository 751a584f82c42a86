// parse_head(): turns an accepted head into a Request by means of llhttp.
//
// Runs behind HeadScanner only, on one complete head. llhttp and the scanner must have read the
// same method, version and body length; where they differ, nobody acts on the request. Frontend
// process, loop thread only.
#pragma once

#include <string_view>

#include "supervisor/frontend/http/exchange.h"
#include "supervisor/frontend/http/head_scanner.h"

namespace bitnetd::frontend::http {

// `bytes` is the head with its empty line and nothing else, accepted as `head`. Fills method, path,
// query, headers and request_id (empty when the client sent none that is sane) of `request`.
// False when llhttp disagrees with the scanner.
bool parse_head(std::string_view bytes, const Head& head, Request& request);

}  // namespace bitnetd::frontend::http
