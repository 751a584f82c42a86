// A Server on a loop of its own and clients on real sockets, in one thread: until() turns the loop
// and reads what clients received, so no test waits by sleeping. A wait that does not end is a
// failure after ten seconds.
#pragma once

#include <gtest/gtest.h>
#include <uv.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/fd.h"
#include "supervisor/frontend/http/server.h"

namespace bitnetd::frontend::http {

struct Answer {
    int status = 0;
    std::map<std::string, std::string> headers;  // names in lower case
    std::string body;                            // chunks joined
    std::vector<std::string> chunks;
};

class Client {
  public:
    explicit Client(Fd socket) : socket_(std::move(socket)) {}

    void send_some();  // of what say() queued; called by the harness
    void receive();    // what has come; called by the harness

    void say(std::string bytes) { unsent_ += bytes; }
    void half_close();  // when all is sent
    void vanish() { socket_.reset(); }
    void stop_reading(bool stop) { reading_ = !stop; }

    // Takes the next whole answer from `received`; `head_only` for HEAD.
    std::optional<Answer> take_answer(bool head_only = false);
    bool all_sent() const { return unsent_.empty(); }
    int fd() const { return socket_.get(); }

    std::string received;
    bool closed = false;  // the server ended the connection
    bool reset = false;   // and with a reset

  private:
    Fd socket_;
    std::string unsent_;
    bool reading_ = true;
    bool half_close_wanted_ = false;
};

// The handler's paths:
//   /echo    answers "METHOD path body" at once
//   /later   is kept in `pending`, to be answered by the test; so is every path below /later
//   /stream  begins a stream and is kept in `pending`
//   /big     1 MiB of body
class Harness : public testing::Test, public Handler {
  protected:
    Harness();
    ~Harness() override;

    void start(const Limits& limits = {});
    // A client at the TCP listener of start().
    Client& connect();
    // A client at the other end of a socketpair, whose server side holds little unsent output.
    Client& connect_pair();
    Client& add_client(Fd socket);

    // Turns the loop until `done`. False after ten seconds.
    [[nodiscard]] bool until(const std::function<bool()>& done);
    // A few turns, for what must not happen.
    void turn(int times = 20);
    // Waits for the next answer of `client`.
    Answer answer(Client& client, bool head_only = false);
    // Waits for the server to end the connection.
    void expect_closed(Client& client);

    void on_request(Exchange& exchange) override;
    std::string error_body(int status, std::string_view code, std::string_view message,
                           std::string_view request_id) const override;

    uv_loop_t loop_{};
    std::unique_ptr<Server> server_;
    std::vector<std::unique_ptr<Client>> clients_;
    uint16_t port_ = 0;

    std::vector<Exchange*> pending;
    std::vector<std::string> seen;  // "METHOD path" in the order of on_request
    int gone = 0;
    int drained = 0;
    std::string last_body;
    Peer last_peer;
};

// Listening sockets.
Fd listen_tcp(int family, uint16_t& port);
Fd listen_unix(const std::string& path);

std::string get(const std::string& path, const std::string& fields = "");
std::string post(const std::string& path, const std::string& body, const std::string& fields = "");

}  // namespace bitnetd::frontend::http
