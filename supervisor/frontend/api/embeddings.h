// Embeddings: a request to /v1/embeddings while it runs. Each input is a flight of its own, which
// workers compute in batches with all others; an embedding is written as text as soon as it is
// there, and the answer leaves with the last one. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "supervisor/frontend/api/embeddings_request.h"
#include "supervisor/frontend/api/running_request.h"
#include "supervisor/frontend/dispatch/dispatcher.h"
#include "supervisor/frontend/http/exchange.h"

namespace bitnetd::frontend {

class Embeddings final : public RunningRequest {
  public:
    // `on_done` is called once, last.
    Embeddings(Dispatcher& dispatcher, Exchange& exchange, EmbeddingsRequest request,
               std::function<void(const Embeddings&)> on_done);
    ~Embeddings() override;

    bool start(uint64_t now_ns) override;

  private:
    class Input;  // the sink of one flight

    FlightSpec spec_of(const Prompt& input, uint64_t now_ns) const;
    void on_input_ended(Input& input, EndReason reason);
    void answer();
    void fail(const ApiError& error);
    void cancel_flights();
    void finish();

    Dispatcher& dispatcher_;
    Exchange* exchange_;  // null once the client is gone or answered
    const EmbeddingsRequest request_;
    const std::string request_id_;
    std::function<void(const Embeddings&)> on_done_;
    std::vector<std::unique_ptr<Input>> inputs_;
    size_t ended_count_ = 0;
};

}  // namespace bitnetd::frontend
