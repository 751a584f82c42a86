// What the supervisor says, one function per message. A message that is not as agreed ends the
// process (kExitProtocol): the supervisor starts a whole one.
#include <set>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "common/log/log.h"
#include "shm/abi/rollout_abi.h"
#include "shm/control/text_field.h"
#include "supervisor/frontend/dispatch/worker_link.h"
#include "supervisor/frontend/process/frontend_process.h"

namespace bitnetd::frontend {

Result<void> FrontendProcess::take_message(shm::Message message) {
    switch (message.type) {
        case shm::MessageType::kListen:
            return take_listen(std::move(message));
        case shm::MessageType::kBoard:
            return take_board(message);
        case shm::MessageType::kModel:
            return take_model(message);
        case shm::MessageType::kModelGone:
            return take_model_gone(message);
        case shm::MessageType::kModelStanding:
            return take_model_standing(message);
        case shm::MessageType::kPeer:
            return take_peer(std::move(message));
        case shm::MessageType::kPeerGone:
            return take_peer_gone(message);
        case shm::MessageType::kCanary:
            return take_canary(message);
        case shm::MessageType::kPromoted:
            return take_promoted(message);
        case shm::MessageType::kSelfTest:
            return take_self_test(message);
        case shm::MessageType::kKnownPeers:
            return take_known_peers(message);
        case shm::MessageType::kOrderAnswer:
            return take_order_answer(message);
        case shm::MessageType::kRollout:
            return take_rollout(message);
        case shm::MessageType::kLogLevel:
            return take_log_level(message);
        case shm::MessageType::kReopenLogs:
            return reopen_logs(message);
        case shm::MessageType::kHealth:
            return take_health(message);
        case shm::MessageType::kHandOver:
            return take_hand_over(std::move(message));
        case shm::MessageType::kPredecessor:
            return take_predecessor(std::move(message));
        case shm::MessageType::kDrain:
            drain(health_.server_ends() ? http::Drain::kEnd : http::Drain::kRolled, kExitOk);
            return {};
        default:
            return invalid("control message of type " +
                           std::to_string(static_cast<int>(message.type)) +
                           " is not for a frontend");
    }
}

Result<void> FrontendProcess::take_listen(shm::Message message) {
    BITNETD_ASSIGN(const auto listen, message.as<shm::ListenMessage>());
    BITNETD_TRY(message.expect_fds(1));
    if (draining_) return {};
    BITNETD_TRY(server_.listen(std::move(message.fds[0])));
    log::info("listening", {{"address", shm::field_text(listen.address)}});
    return {};
}

Result<void> FrontendProcess::take_board(const shm::Message& message) {
    BITNETD_ASSIGN(const auto board, message.as<shm::BoardMessage>());
    if (board.gone != 0) {
        boards_.remove(board.incarnation);
        return {};
    }
    BITNETD_TRY(message.expect_fds(1));
    if (board.role == static_cast<uint32_t>(shm::Role::kSupervisor)) {
        BITNETD_TRY(supervisor_watch_.watch(message.fds[0].get()));
    }
    // A supervisor that died may not have got to say that the one before is gone.
    boards_.remove_others(static_cast<shm::Role>(board.role), board.slot, board.incarnation);
    return boards_.add(board.incarnation, message.fds[0].get());
}

// What was sealed is the loader's word. A frontend that ended for a wrong one would get it again
// from the next supervisor's message: it goes on without the model, and a rollout's self-test says
// so.
Result<void> FrontendProcess::take_model(const shm::Message& message) {
    BITNETD_ASSIGN(const auto facts, message.as<shm::ModelMessage>());
    BITNETD_TRY(message.expect_fds(1));
    if (catalog_.find(facts.model_key) != nullptr) {  // after a supervisor's restart
        catalog_.set_standing(facts.model_key, facts.standing, facts.is_default != 0);
        return {};
    }
    auto opened = open_model(facts, message.fds[0].get());
    if (!opened.ok()) {
        log::error("model_refused", {{"model", shm::field_text(facts.id)},
                                     {"model_key", facts.model_key},
                                     {"reason", opened.error().message}});
        return {};
    }
    const std::shared_ptr<const Model> model = std::move(opened).value();
    log::info("model_attached", {{"model", model->id},
                                 {"context", model->context},
                                 {"chat_template", model->chat_template.has_value()},
                                 {"fingerprint", model->fingerprint}});
    admission_.add_model(model->key, monotonic_ns());
    catalog_.add(model, facts.standing, facts.is_default != 0);
    return {};
}

// The image is sealed before it is sent, and so is what a hostile loader could have written into
// it: checked once, then read-only for ever.
Result<std::shared_ptr<const Model>> FrontendProcess::open_model(const shm::ModelMessage& facts,
                                                                 int image) const {
    BITNETD_TRY(shm::check_weights_sealed(image));
    BITNETD_ASSIGN(auto mapped, shm::Segment::map(image, shm::Access::kRead));
    const auto memory = std::make_shared<const shm::Segment>(std::move(mapped));
    const Params& params = link_.params();
    ModelOptions options{params.kv_context_max, params.api_text_bytes_max, params.kv_type,
                         params.worker_block_inputs, params.worker_bf16_inputs};
    for (const std::string& text : params.server_alias) {
        BITNETD_ASSIGN(ModelAlias alias, parse_model_alias(text));
        options.aliases.push_back(std::move(alias));
    }
    return Model::open(facts, memory, memory->view(), options);
}

Result<void> FrontendProcess::take_model_gone(const shm::Message& message) {
    BITNETD_ASSIGN(const auto facts, message.as<shm::ModelMessage>());
    catalog_.remove(facts.model_key);
    admission_.remove_model(facts.model_key);
    dispatcher_.remove_model(facts.model_key, monotonic_ns());
    return {};
}

Result<void> FrontendProcess::take_model_standing(const shm::Message& message) {
    BITNETD_ASSIGN(const auto change, message.as<shm::ModelStandingMessage>());
    catalog_.set_standing(change.model_key, change.standing, change.is_default != 0);
    return {};
}

Result<void> FrontendProcess::take_peer(shm::Message message) {
    BITNETD_ASSIGN(const auto peer, message.as<shm::PeerMessage>());
    if (dispatcher_.knows_worker(peer.incarnation)) return {};  // after a supervisor's restart
    WorkerFacts facts;
    facts.incarnation = peer.incarnation;
    facts.model_key = peer.model_key;
    facts.slot = peer.slot;
    facts.credits = peer.credits;
    facts.device = std::string(shm::field_text(peer.device));
    facts.is_canary = peer.is_canary != 0;
    facts.kernel_isa = std::string(shm::field_text(peer.kernel_isa));
    BITNETD_ASSIGN(auto link, WorkerLink::open(std::move(message), link_.incarnation()));
    dispatcher_.add_worker(std::move(facts), std::move(link), monotonic_ns());
    return {};
}

Result<void> FrontendProcess::take_peer_gone(const shm::Message& message) {
    BITNETD_ASSIGN(const auto gone, message.as<shm::PeerGoneMessage>());
    dispatcher_.remove_worker(gone.incarnation, gone.end, monotonic_ns());
    return {};
}

Result<void> FrontendProcess::take_canary(const shm::Message& message) {
    BITNETD_ASSIGN(const auto canary, message.as<shm::CanaryMessage>());
    if (!draining_) api_.canary().take(canary);
    return {};
}

// Another one while one runs: of a worker that took the first one's place.
Result<void> FrontendProcess::take_self_test(const shm::Message& message) {
    BITNETD_ASSIGN(const auto order, message.as<shm::SelfTestMessage>());
    self_test_.emplace(order, catalog_.find(order.model_key), dispatcher_,
                       api_options(link_.params()).limits);
    return {};
}

Result<void> FrontendProcess::take_promoted(const shm::Message& message) {
    BITNETD_ASSIGN(const auto canary, message.as<shm::IncarnationMessage>());
    dispatcher_.promote_worker(canary.incarnation, monotonic_ns());
    return {};
}

Result<void> FrontendProcess::take_known_peers(const shm::Message& message) {
    if (message.payload.size() % sizeof(uint64_t) != 0) {
        return invalid("kKnownPeers of " + std::to_string(message.payload.size()) +
                       " bytes: expected a list of 64-bit numbers");
    }
    std::set<uint64_t> known;
    for (size_t at = 0; at < message.payload.size(); at += sizeof(uint64_t))
        known.insert(load<uint64_t>(message.payload.data() + at));
    dispatcher_.keep_workers(known, monotonic_ns());
    return {};
}

Result<void> FrontendProcess::take_health(const shm::Message& message) {
    BITNETD_ASSIGN(const auto health, message.as<shm::HealthMessage>());
    health_.set_supervisor(health);
    // It was to be rolled, and now the whole server ends: its deadline is nearer.
    if (draining_ && health_.server_ends()) drain(http::Drain::kEnd, exit_code_);
    return {};
}

// A second successor takes the place of one that failed.
Result<void> FrontendProcess::take_hand_over(shm::Message message) {
    BITNETD_TRY(message.expect_fds(1));
    server_.set_heir(nullptr);
    hand_over_.reset();
    hand_over_.emplace(server_, std::move(message.fds[0]), [this] { watch_empty(); });
    server_.set_heir(&*hand_over_);
    return {};
}

Result<void> FrontendProcess::take_predecessor(shm::Message message) {
    BITNETD_TRY(message.expect_fds(1));
    inheritances_.emplace_back(server_, std::move(message.fds[0]), [this] {
        inheritances_.remove_if([](const auto& each) { return each.is_over(); });
        watch_empty();
    });
    return {};
}

Result<void> FrontendProcess::take_order_answer(const shm::Message& message) {
    BITNETD_ASSIGN(const auto answer, message.as<shm::OrderAnswerMessage>());
    api_.take_answer(answer);
    return {};
}

Result<void> FrontendProcess::take_rollout(const shm::Message& message) {
    BITNETD_ASSIGN(const auto rollout, message.as<shm::RolloutMessage>());
    api_.take_rollout(rollout);
    return {};
}

Result<void> FrontendProcess::take_log_level(const shm::Message& message) {
    if (log::set_level(message.text())) return {};
    return invalid("log level: expected debug, info, warn or error, found \"" +
                   shm::printable(message.text().substr(0, 32)) + "\"");
}

Result<void> FrontendProcess::reopen_logs(const shm::Message& message) {
    BITNETD_TRY(message.expect_fds(1));
    if (const auto reopened = log::reopen(message.fds[0].get()); !reopened.ok()) {
        log::error("logs_not_reopened", {{"reason", reopened.error().message}});
        return {};
    }
    log::info("logs_reopened");
    return {};
}

}  // namespace bitnetd::frontend
