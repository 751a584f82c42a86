// Who takes the idle connections of a server that drains because it is rolled: the next frontend,
// behind hand_over.h, or a test. Loop thread only.
#pragma once

#include <cstddef>
#include <vector>

#include "common/base/fd.h"

namespace bitnetd::frontend::http {

class Heir {
  public:
    virtual ~Heir() = default;
    // False: never again. Connections stay here then, and are told to close.
    virtual bool is_there() const noexcept = 0;
    // How many it takes now. While 0, it calls Server::offer_idle() when there is room again.
    virtual size_t room() const noexcept = 0;
    // At most room() connected sockets, of which nothing was read that is not answered.
    virtual void take(std::vector<Fd> sockets) = 0;
};

}  // namespace bitnetd::frontend::http
