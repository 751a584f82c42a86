// A segment that bitnet-shmdump may look at: the answer to kInspect is a list of these.
#pragma once

#include <string_view>

#include "common/base/fd.h"
#include "shm/abi/control_abi.h"
#include "shm/control/text_field.h"

namespace bitnetd::supervisor {

enum class InspectKind : uint32_t { kBoard = 1, kRequestRing = 2, kTokenRing = 3 };

struct InspectEntry {
    shm::InspectItem item;
    Fd fd;  // read-only
};

inline shm::InspectItem inspect_item(uint64_t incarnation, InspectKind kind, bool alive,
                                     std::string_view name) {
    shm::InspectItem item{};
    item.incarnation = incarnation;
    item.kind = static_cast<uint32_t>(kind);
    item.alive = alive ? 1 : 0;
    shm::set_field(item.name, name);
    return item;
}

}  // namespace bitnetd::supervisor
