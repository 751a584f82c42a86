// One GET at a time, waited for: what is asked before anything is measured.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/result.h"
#include "tests/bench/serve/address.h"

namespace bitnetd::bench {

struct Page {
    int status = 0;
    std::string body;
};

// kUnavailable when the server does not answer within timeout_ms.
Result<Page> http_get(const Address& address, const std::string& path, uint64_t timeout_ms);

// What /v1/models tells of a model; an empty id names the default one.
struct ServedModel {
    std::string id;
    uint32_t context = 0;  // 0: not told
};
Result<ServedModel> find_model(const Address& address, const std::string& id);

}  // namespace bitnetd::bench
