// Connection: one kept-alive HTTP connection of a user who has at most one request on its way. It
// never blocks; the loop that owns the epoll set tells it when something happened. Not movable:
// epoll and the parser know its address.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "tests/bench/serve/address.h"
#include "tests/bench/serve/answer_reader.h"

namespace bitnetd::bench {

class Connection {
  public:
    enum class State : uint8_t { kClosed, kIdle, kBusy };

    State state() const noexcept { return state_; }
    AnswerReader& reader() noexcept { return reader_; }

    // From kClosed to kIdle. False: the server's backlog is full, try again shortly. The epoll set
    // reports this connection with `tag`.
    Result<bool> open(const Address& address, int epoll, uint64_t tag);

    // From kIdle to kBusy. What the reader keeps is set by reader().begin() before. `request` stays
    // as it is until the answer is complete.
    void send(std::string_view request);

    // What epoll said. `buffer` is scratch. True: the answer is complete, the state is kIdle or
    // kClosed. An idle connection that the server closes just becomes kClosed.
    bool on_ready(uint32_t events, std::span<char> buffer, uint64_t now_ns);

    void close() noexcept;

  private:
    void write_on();
    void watch(bool writable);
    bool finish();

    Fd socket_;
    int epoll_ = -1;
    uint64_t tag_ = 0;
    State state_ = State::kClosed;
    bool watches_writable_ = false;
    std::string_view unsent_;
    AnswerReader reader_;
};

}  // namespace bitnetd::bench
