#include "tests/support/worker/loop_fixture.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "common/base/bytes.h"
#include "worker/kernels/dispatch.h"

namespace bitnetd::worker::test {
namespace {

template <typename T>
std::span<const std::byte> bytes_of_span(std::span<const T> values) {
    return std::as_bytes(values);
}

Fd copy_of(const Fd& fd) {
    return Fd(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
}

Fd make_ring(uint64_t ring_bytes, uint64_t consumer, uint64_t producer, shm::Segment& segment) {
    Fd fd = shm::Segment::create_memfd("ring", shm::ring_segment_bytes(ring_bytes)).value();
    segment = shm::Segment::map(fd.get(), shm::Access::kReadWrite).value();
    EXPECT_TRUE(shm::init_ring(segment, consumer, producer).ok());
    return fd;
}

constexpr uint64_t kWorkerIncarnation = 1000;

}  // namespace

std::vector<uint32_t> Heard::ids() const {
    std::vector<uint32_t> result;
    for (const auto& token : tokens)
        result.push_back(token.token);
    return result;
}

std::vector<float> Heard::logprobs() const {
    std::vector<float> result;
    for (const auto& token : tokens)
        result.push_back(token.logprob);
    return result;
}

bool Heard::is_finished() const {
    if (!draws_tokens) return has_all_scores || has_all_values;
    return !tokens.empty() && tokens.back().finish != shm::Finish::kNone;
}

shm::SubmitRecord Request::record() const {
    const auto id_count = static_cast<uint32_t>(ids.size());
    const uint32_t prompt = prompt_count == 0 ? id_count : prompt_count;
    return {.flight = flight,
            .attempt = attempt,
            .id_count = id_count,
            .prompt_count = prompt,
            .position_limit = prompt + new_tokens,
            .seed = sampling.seed,
            .temperature = sampling.temperature,
            .top_p = sampling.top_p,
            .min_p = sampling.min_p,
            .typical_p = sampling.typical_p,
            .repetition_penalty = sampling.repetition_penalty,
            .frequency_penalty = sampling.frequency_penalty,
            .presence_penalty = sampling.presence_penalty,
            .top_k = sampling.top_k,
            .flags = flags | (sampling.wants_logprobs ? shm::kWantLogprobs : 0u) |
                     (sampling.ignore_eos ? shm::kIgnoreEos : 0u),
            .logprobs = sampling.alternatives_count,
            .bias_count = static_cast<uint32_t>(bias.size()),
            .priority = static_cast<uint32_t>(priority),
            .submitted_ns = 1,
            .ids_here = 0,
            .reserved = 0};
}

FakeFrontend::FakeFrontend(uint64_t incarnation, uint64_t ring_bytes)
    : incarnation_(incarnation),
      request_fd_(make_ring(ring_bytes, kWorkerIncarnation, incarnation, request_segment_)),
      token_fd_(make_ring(ring_bytes, incarnation, kWorkerIncarnation, token_segment_)),
      bell_fd_(shm::Doorbell::create().value()),
      board_fd_(shm::create_board(
                    {.role = shm::Role::kFrontend, .incarnation = incarnation, .device = ""})
                    .value()) {
    requests_ = std::make_unique<shm::RingWriter>(shm::RingWriter::open(request_segment_).value());
    tokens_ = std::make_unique<shm::RingReader>(shm::RingReader::open(token_segment_).value());
    board_segment_ = shm::Segment::map(board_fd_.get(), shm::Access::kReadWrite).value();
    board_ = std::make_unique<shm::BoardWriter>(shm::BoardWriter::open(board_segment_).value());
}

shm::Message FakeFrontend::introduction(uint32_t credits) {
    const shm::PeerMessage facts = {.incarnation = incarnation_,
                                    .model_key = 1,
                                    .slot = static_cast<uint32_t>(incarnation_),
                                    .credits = credits,
                                    .device = "cpu:0",
                                    .kernel_isa = "",
                                    .is_canary = 0,
                                    .reserved = 0};
    shm::Message message;
    message.type = shm::MessageType::kPeer;
    message.payload.resize(sizeof facts);
    std::memcpy(message.payload.data(), &facts, sizeof facts);
    for (const Fd* fd : {&request_fd_, &token_fd_, &bell_fd_, &board_fd_}) {
        message.fds.push_back(copy_of(*fd));
    }
    return message;
}

bool FakeFrontend::send(shm::RecordType type, std::span<const std::byte> payload) {
    return requests_->try_publish(type, payload);
}

bool FakeFrontend::send(shm::RecordType type, std::span<const std::byte> head,
                        std::span<const uint32_t> ids) {
    return requests_->try_publish(type, head, bytes_of_span(ids));
}

void FakeFrontend::submit(const Request& request, size_t ids_per_record) {
    const size_t here = std::min(ids_per_record, request.ids.size());
    begin(request, here);
    go_on(request, here, ids_per_record);
}

void FakeFrontend::begin(const Request& request, size_t ids_here) {
    shm::SubmitRecord record = request.record();
    prompt_counts_[request.flight] = record.prompt_count;
    heard_[request.flight].draws_tokens = record.position_limit > record.id_count;
    record.ids_here = static_cast<uint32_t>(ids_here);
    ASSERT_TRUE(send(shm::RecordType::kSubmit, shm::bytes_of(record),
                     std::span(request.ids).first(ids_here)));
    for (const shm::LogitBias& entry : request.bias) {
        const shm::SubmitBiasRecord bias = {request.flight, request.attempt, 1};
        ASSERT_TRUE(requests_->try_publish(shm::RecordType::kSubmitBias, shm::bytes_of(bias),
                                           shm::bytes_of(entry)));
    }
}

void FakeFrontend::go_on(const Request& request, size_t from, size_t ids_per_record) {
    const std::span<const uint32_t> ids(request.ids);
    size_t count = 0;
    for (size_t at = from; at < ids.size(); at += count) {
        count = std::min(ids_per_record, ids.size() - at);
        const shm::SubmitMoreRecord more = {request.flight, request.attempt,
                                            static_cast<uint32_t>(count)};
        ASSERT_TRUE(
            send(shm::RecordType::kSubmitMore, shm::bytes_of(more), ids.subspan(at, count)));
    }
}

void FakeFrontend::cancel(uint64_t flight, uint32_t attempt) {
    const shm::CancelRecord record = {flight, attempt, 0};
    ASSERT_TRUE(send(shm::RecordType::kCancel, shm::bytes_of(record)));
}

void FakeFrontend::listen(size_t records_max) {
    const auto take = [this](shm::RecordType type, std::span<const std::byte> payload) {
        switch (type) {
            case shm::RecordType::kStarted: {
                const auto record = load<shm::StartedRecord>(payload.data());
                heard_[record.flight].started.push_back(record);
                return;
            }
            case shm::RecordType::kToken: {
                const auto record = load<shm::TokenRecord>(payload.data());
                std::vector<shm::Alternative> alternatives(record.alternatives_count);
                ASSERT_EQ(payload.size(),
                          sizeof record + alternatives.size() * sizeof(shm::Alternative));
                for (size_t i = 0; i < alternatives.size(); ++i) {
                    alternatives[i] = load<shm::Alternative>(payload.data() + sizeof record +
                                                             i * sizeof(shm::Alternative));
                }
                heard_[record.flight].tokens.push_back(record);
                heard_[record.flight].alternatives.push_back(alternatives);
                return;
            }
            case shm::RecordType::kGiveBack: {
                const auto record = load<shm::GiveBackRecord>(payload.data());
                heard_[record.flight].given_back.push_back(record.reason);
                return;
            }
            case shm::RecordType::kFailed: {
                const auto record = load<shm::FailedRecord>(payload.data());
                heard_[record.flight].failed.push_back(record.code);
                return;
            }
            case shm::RecordType::kPromptScores:
                return take_scores(payload);
            case shm::RecordType::kEmbedding:
                return take_embedding(payload);
            default:
                FAIL() << "record type " << static_cast<int>(type);
        }
    };
    ASSERT_TRUE(tokens_->poll(take, records_max).ok());
}

void FakeFrontend::take_scores(std::span<const std::byte> payload) {
    const auto record = load<shm::PromptScoresRecord>(payload.data());
    Heard& heard = heard_[record.flight];
    ASSERT_EQ(record.first_position, heard.prompt_scores.size() + 1);
    ASSERT_FALSE(heard.has_all_scores);
    payload = payload.subspan(sizeof record);
    for (uint32_t i = 0; i < record.count; ++i) {
        ASSERT_GE(payload.size(), 8u);
        Score& score = heard.prompt_scores.emplace_back();
        score.logprob = load<float>(payload.data());
        score.alternatives.resize(load<uint32_t>(payload.data() + 4));
        const size_t bytes = score.alternatives.size() * sizeof(shm::Alternative);
        ASSERT_GE(payload.size(), 8 + bytes);
        if (bytes > 0) std::memcpy(score.alternatives.data(), payload.data() + 8, bytes);
        payload = payload.subspan(8 + bytes);
    }
    ASSERT_TRUE(payload.empty());
    heard.has_all_scores = heard.prompt_scores.size() + 1 == prompt_counts_[record.flight];
}

void FakeFrontend::take_embedding(std::span<const std::byte> payload) {
    const auto record = load<shm::EmbeddingRecord>(payload.data());
    Heard& heard = heard_[record.flight];
    ASSERT_EQ(record.first_value, heard.embedding.size());
    ASSERT_EQ(payload.size(), sizeof record + record.count * sizeof(float));
    heard.embedding.resize(heard.embedding.size() + record.count);
    std::memcpy(heard.embedding.data() + record.first_value, payload.data() + sizeof record,
                record.count * sizeof(float));
    heard.has_all_values = heard.embedding.size() == record.value_count;
}

bool FakeFrontend::bell_rang() const {
    pollfd fd = {bell_fd_.get(), POLLIN, 0};
    return poll(&fd, 1, 0) == 1;
}

const TinyModel& LoopFixture::model() {
    static const TinyModel model(TinyShape{.biases = true}, 42);
    return model;
}

std::vector<uint32_t> LoopFixture::prompt(uint32_t count, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<uint32_t> ids(count);
    for (uint32_t& id : ids)
        id = static_cast<uint32_t>(random() % TinyShape{}.vocab);
    return ids;
}

LoopFixture::LoopFixture(const Options& options)
    : weights_(open_weights(options.weights.empty() ? model().segment() : options.weights).value()),
      layout_({weights_.header.layers, weights_.header.kv_heads, weights_.header.head_dim,
               options.kv_type}),
      arena_(layout_.page_bytes() *
             (options.pages != 0
                  ? options.pages
                  : options.slots_max * layout_.sequence_pages(weights_.header.context))) {
    std::fill(arena_.span().begin(), arena_.span().end(), std::byte{0xff});
    const uint32_t context = weights_.header.context;
    cache_ = std::make_unique<KvCache>(layout_, arena_.span(), options.slots_max, context);
    pool_ =
        ThreadPool::create({std::vector<int>(static_cast<size_t>(options.threads), 0), false, 0})
            .value();
    engine_ = std::make_unique<TransformerEngine>(weights_, *kernels::usable_tables().front(),
                                                  *pool_, layout_, options.step_tokens_max,
                                                  /*work_per_thread=*/1);
    const Fd board_fd =
        shm::create_board(
            {.role = shm::Role::kWorker, .incarnation = kWorkerIncarnation, .device = "cpu:0"})
            .value();
    board_segment_ = shm::Segment::map(board_fd.get(), shm::Access::kReadWrite).value();
    board_ = std::make_unique<shm::BoardWriter>(shm::BoardWriter::open(board_segment_).value());
    doorbell_ = std::make_unique<shm::Doorbell>(
        shm::Doorbell::for_consumer(shm::Doorbell::create().value(), board_->sleeping()));
    auto [ours, theirs] = shm::Channel::make_pair().value();
    supervisor_ = std::move(ours);
    control_ = std::make_unique<shm::Channel>(std::move(theirs));
    const StepLoop::Settings settings = {.vocab = weights_.header.vocab,
                                         .hidden = weights_.header.hidden,
                                         .pooling = weights_.header.pooling,
                                         .context_max = context,
                                         .slots_max = options.slots_max,
                                         .step_tokens_max = options.step_tokens_max,
                                         .end_ids = options.end_ids,
                                         .heartbeat_interval_ms = 10,
                                         .drain_timeout_ms = options.drain_timeout_ms,
                                         .orphan_timeout_ms = 600'000,
                                         .speculation = options.speculation};
    Engine& engine = options.engine != nullptr ? *options.engine : *engine_;
    loop_ = std::make_unique<StepLoop>(
        settings, StepLoop::Parts{engine, *cache_, *board_, *doorbell_, *control_});
}

void LoopFixture::connect(FakeFrontend& frontend, uint32_t credits) {
    loop_->on_message(frontend.introduction(credits));
    ASSERT_FALSE(loop_->is_done());
}

void LoopFixture::settle(std::initializer_list<FakeFrontend*> frontends) {
    bool busy = true;
    while (busy) {
        busy = loop_->turn();
        for (FakeFrontend* frontend : frontends)
            frontend->listen();
    }
    loop_->turn();  // what was freed by listening
    for (FakeFrontend* frontend : frontends)
        frontend->listen();
}

}  // namespace bitnetd::worker::test
