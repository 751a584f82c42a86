// Who may order something of this server, as long as there are no keys: whoever is on this machine,
// by a program or by a page of this server itself. A web page from elsewhere that an operator's
// browser shows is not: it would order with the operator's rights. Untrusted input; any thread.
#pragma once

#include <optional>

#include "supervisor/frontend/api/errors.h"
#include "supervisor/frontend/http/exchange.h"

namespace bitnetd::frontend {

// 403 for a client that is not an operator:
//   role_required       it came neither through a Unix socket nor from loopback, or a proxy there
//                       says that it brings someone else's request (Forwarded, Via,
//                       X-Forwarded-For)
//   origin_not_allowed  a browser says that a page of another origin asks, or one whose host is a
//                       name that its owner can point at this machine (DNS rebinding)
std::optional<ApiError> refuse_other_than_operator(const Request& request);

inline bool is_operator(const Request& request) {
    return !refuse_other_than_operator(request);
}

}  // namespace bitnetd::frontend
