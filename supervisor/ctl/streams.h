// Between bitnetctl's standard streams and the memfds that it shares with the loader.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace bitnetd::supervisor {

// An empty memfd, close-on-exec, of which a child gets a copy.
Result<Fd> make_memfd(const char* name);

// Everything that `from` has, up to its end, as a memfd. `what` names it in errors; more than
// `bytes_max` is refused.
Result<Fd> read_to_memfd(int from, const std::string& what, uint64_t bytes_max);

enum class Printing : uint8_t {
    kExact,      // byte for byte
    kPrintable,  // what is neither printable ASCII nor a line end becomes '?': it would speak to
                 // the terminal
};

// Copies all of a memfd to `to`.
Result<void> print_memfd(int memfd, int to, Printing printing);

}  // namespace bitnetd::supervisor
