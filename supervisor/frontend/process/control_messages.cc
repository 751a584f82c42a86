// What the supervisor says, one function per message. A message that is not as agreed ends the
// process (kExitProtocol): the supervisor starts a whole one.
#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "common/log/log.h"
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
        case shm::MessageType::kPeer:
            return take_peer(std::move(message));
        case shm::MessageType::kPeerGone:
            return take_peer_gone(message);
        case shm::MessageType::kHealth:
            return take_health(message);
        case shm::MessageType::kDrain:
            drain(kExitOk);
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
    return boards_.add(board.incarnation, message.fds[0].get());
}

// The image is sealed before it is sent, and so is what a hostile loader could have written into
// it: checked once, then read-only for ever.
Result<void> FrontendProcess::take_model(const shm::Message& message) {
    BITNETD_ASSIGN(const auto facts, message.as<shm::ModelMessage>());
    BITNETD_TRY(message.expect_fds(1));
    BITNETD_TRY(shm::check_weights_sealed(message.fds[0].get()));
    BITNETD_ASSIGN(auto mapped, shm::Segment::map(message.fds[0].get(), shm::Access::kRead));
    const auto memory = std::make_shared<const shm::Segment>(std::move(mapped));

    const Params& params = link_.params();
    ModelOptions options{params.kv_context_max, params.api_text_bytes_max, params.kv_type,
                         params.worker_block_inputs, params.worker_bf16_inputs};
    for (const std::string& text : params.server_alias) {
        BITNETD_ASSIGN(ModelAlias alias, parse_model_alias(text));
        options.aliases.push_back(std::move(alias));
    }
    BITNETD_ASSIGN(auto model, Model::open(facts, memory, memory->view(), options));
    log::info("model_attached", {{"model", model->id},
                                 {"context", model->context},
                                 {"chat_template", model->chat_template.has_value()},
                                 {"fingerprint", model->fingerprint}});
    admission_.add_model(model->key, monotonic_ns());
    catalog_.add(std::move(model));
    return {};
}

Result<void> FrontendProcess::take_model_gone(const shm::Message& message) {
    BITNETD_ASSIGN(const auto facts, message.as<shm::ModelMessage>());
    catalog_.remove(facts.model_key);
    admission_.remove_model(facts.model_key);
    dispatcher_.remove_model(facts.model_key, monotonic_ns());
    return {};
}

Result<void> FrontendProcess::take_peer(shm::Message message) {
    BITNETD_ASSIGN(const auto peer, message.as<shm::PeerMessage>());
    WorkerFacts facts;
    facts.incarnation = peer.incarnation;
    facts.model_key = peer.model_key;
    facts.slot = peer.slot;
    facts.credits = peer.credits;
    facts.device = std::string(shm::field_text(peer.device));
    BITNETD_ASSIGN(auto link, WorkerLink::open(std::move(message), link_.incarnation()));
    dispatcher_.add_worker(std::move(facts), std::move(link), monotonic_ns());
    return {};
}

Result<void> FrontendProcess::take_peer_gone(const shm::Message& message) {
    BITNETD_ASSIGN(const auto gone, message.as<shm::PeerGoneMessage>());
    dispatcher_.remove_worker(gone.incarnation, gone.end, monotonic_ns());
    return {};
}

Result<void> FrontendProcess::take_health(const shm::Message& message) {
    BITNETD_ASSIGN(const auto health, message.as<shm::HealthMessage>());
    health_.set_supervisor(health);
    return {};
}

}  // namespace bitnetd::frontend
