// Request ids: which of the callers' are kept, and how ours are drawn.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bitnetd::frontend::http {

// [A-Za-z0-9._-]{1,128}: safe in headers, logs and JSON without quoting.
bool is_sane_request_id(std::string_view id);

// Draws random UUIDs (version 4). Seeded once by the kernel; the ids are unique, not secret.
class RequestIds {
  public:
    RequestIds();
    void draw(std::string& id);  // replaces `id` by 36 characters

  private:
    uint64_t next();
    uint64_t state_[2];
};

}  // namespace bitnetd::frontend::http
