// A request between admission and the end of its answer: it has flights with dispatch and a client
// that waits. Dies with its client (its flights are cancelled) or when it has answered; it then
// asks Api to be destroyed, which must not happen within the call. Loop thread only.
//   generation.h      generated text          embeddings.h      embeddings of texts
#pragma once

#include <cstdint>

namespace bitnetd::frontend {

class RunningRequest {
  public:
    RunningRequest() = default;
    virtual ~RunningRequest() = default;
    RunningRequest(const RunningRequest&) = delete;
    RunningRequest& operator=(const RunningRequest&) = delete;

    // Submits all flights. False: the queue has no room for all of them; nothing runs and nothing
    // was answered.
    virtual bool start(uint64_t now_ns) = 0;
};

}  // namespace bitnetd::frontend
