// What the supervisor knows, as text in memory that survives it: a memfd with two copies. A write
// goes to the older copy, so that a supervisor that dies within it leaves the other one whole.
//
//   0: StateHeader      4096: first copy      4096 + kStateCopyBytes: second copy
//
// A copy counts when its checksum does; of two the one with the higher sequence. Written by one
// process, read by its successor after its death or exec, never by both at once: no ordering is
// needed between the words, the checksum tells whether all of them were written.
#pragma once

#include <string>
#include <string_view>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "shm/segment/segment.h"

namespace bitnetd::supervisor {

inline constexpr size_t kStateTextBytesMax = size_t{1} << 20;

class StateTable {
  public:
    // A new one, empty; sealed against resizing.
    static Result<StateTable> create();
    // A predecessor's; kInvalid when it is none, or not of this build's layout.
    static Result<StateTable> open(Fd fd);

    // The text that read() finds from now on. kExhausted above kStateTextBytesMax: what was there
    // stays. Costs a copy and a checksum of the text.
    Result<void> write(std::string_view text);

    // What was written last, or before that when the last write was cut off. kNotFound when nothing
    // was ever written completely.
    Result<std::string> read() const;

    int fd() const { return fd_.get(); }

  private:
    StateTable(Fd fd, shm::Segment segment) : fd_(std::move(fd)), segment_(std::move(segment)) {}

    Fd fd_;
    shm::Segment segment_;
};

}  // namespace bitnetd::supervisor
