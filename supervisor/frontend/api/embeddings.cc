#include "supervisor/frontend/api/embeddings.h"

#include "common/base/clock.h"
#include "supervisor/frontend/api/embedding_text.h"
#include "supervisor/frontend/api/json_text.h"

namespace bitnetd::frontend {

class Embeddings::Input final : public FlightSink {
  public:
    explicit Input(Embeddings& owner) : owner_(owner) {}

    void on_started(const FlightStart&) noexcept override {}
    void on_embedding(std::span<const float> fresh) noexcept override {
        values.insert(values.end(), fresh.begin(), fresh.end());
    }
    void on_end(EndReason reason) noexcept override {
        is_ended = true;
        owner_.on_input_ended(*this, reason);
    }

    uint64_t flight = 0;
    bool is_ended = false;
    std::vector<float> values;  // until it has ended
    std::string text;           // then this

  private:
    Embeddings& owner_;
};

Embeddings::Embeddings(Dispatcher& dispatcher, Exchange& exchange, EmbeddingsRequest request,
                       std::function<void(const Embeddings&)> on_done)
    : dispatcher_(dispatcher),
      exchange_(&exchange),
      request_(std::move(request)),
      request_id_(exchange.request().request_id),
      on_done_(std::move(on_done)) {
    for (size_t i = 0; i < request_.inputs.size(); ++i)
        inputs_.push_back(std::make_unique<Input>(*this));
    exchange.on_gone = [this] {
        cancel_flights();
        finish();
    };
}

Embeddings::~Embeddings() {
    cancel_flights();
}

bool Embeddings::start(uint64_t now_ns) {
    for (size_t i = 0; i < inputs_.size(); ++i) {
        const auto flight =
            dispatcher_.submit(spec_of(request_.inputs[i], now_ns), *inputs_[i], now_ns);
        if (!flight) {
            cancel_flights();
            return false;
        }
        inputs_[i]->flight = *flight;
    }
    return true;
}

FlightSpec Embeddings::spec_of(const Prompt& input, uint64_t now_ns) const {
    FlightSpec spec;
    spec.model_key = request_.model->key;
    spec.vocab = request_.model->vocab;
    spec.prompt = input.ids;
    spec.position_limit = static_cast<uint32_t>(input.ids->size());
    spec.flags = shm::kWantEmbedding;
    spec.embedding_values = request_.model->facts.hidden;
    spec.priority = request_.service.priority;
    spec.device = request_.service.device;
    spec.deadline_ns = now_ns + request_.service.timeout_ms * kNsPerMs;
    return spec;
}

void Embeddings::on_input_ended(Input& input, EndReason reason) {
    if (exchange_ == nullptr) return;
    if (reason != EndReason::kLength) return fail(flight_failed(reason, request_.model->id));
    if (!shape_embedding(input.values, request_.dimensions)) {
        return fail(flight_failed(EndReason::kBadNumbers, request_.model->id));
    }
    if (request_.is_base64)
        append_base64(input.text, input.values);
    else
        append_float_array(input.text, input.values);
    input.values = {};
    if (++ended_count_ == inputs_.size()) answer();
}

void Embeddings::answer() {
    uint64_t tokens = 0;
    Response response;
    std::string& out = response.body;
    out = R"({"object":"list","data":[)";
    for (size_t i = 0; i < inputs_.size(); ++i) {
        tokens += request_.inputs[i].ids->size();
        if (i > 0) out += ',';
        out += R"({"object":"embedding","index":)" + std::to_string(i) + R"(,"embedding":)";
        out += inputs_[i]->text;
        out += '}';
    }
    out += R"(],"model":)";
    append_json_string(out, request_.model->id);
    const std::string count = std::to_string(tokens);
    out += R"(,"usage":{"prompt_tokens":)" + count + R"(,"total_tokens":)" + count + "}}";
    exchange_->respond(std::move(response));
    finish();
}

// The whole request fails with its first flight that does.
void Embeddings::fail(const ApiError& error) {
    cancel_flights();
    exchange_->respond(error_response(error, request_id_));
    finish();
}

void Embeddings::cancel_flights() {
    const uint64_t now_ns = monotonic_ns();
    for (const auto& input : inputs_) {
        if (input->flight != 0 && !input->is_ended) dispatcher_.cancel(input->flight, now_ns);
        input->is_ended = true;
    }
}

void Embeddings::finish() {
    exchange_ = nullptr;
    if (on_done_) std::exchange(on_done_, nullptr)(*this);
}

}  // namespace bitnetd::frontend
