// What bitnetctl may ask of a running server, over its control socket.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "shm/abi/rollout_abi.h"

namespace CLI {
class App;
}

namespace bitnetd::supervisor {

inline constexpr uint64_t kRolloutsUsual = 20;

// What is done with the answer.
enum class Answer : uint8_t {
    kStatus,
    kTop,       // kStatus, again and again
    kModels,    // of kStatus, the models and the rollout
    kRollouts,  // the history
    kOutcome,   // whether it was done; with kCommandWatch, how it goes on
};

struct ServerCommand {
    shm::Command command{};  // 0: none was given
    shm::OrderKind order{};  // of kOrder
    Answer answer = Answer::kOutcome;
    std::string control;  // as --control says: control_path.h
    bool json = false;
    bool wait = false;           // reload and its like
    bool wait_for_order = true;  // model load and its like
    uint64_t count = 0;          // top: snapshots, 0: no end; rollouts: how many, 0: the usual
    std::string worker;          // "3" or "worker/3"
    std::string level;           // of log-level
    std::string model;           // load: ID=PATH or PATH; else an id
    std::string path;            // of swap
    std::string strategy;        // empty: rollout.strategy
    bool keep_failed = false;    // no rollback when it fails
    uint32_t timeout_s = 0;      // 0: as configured
    float accuracy_min = 0;      // 0: as configured
    std::vector<std::string> prompts;  // of the self-test

    // Until what it began has ended.
    bool waits() const { return command == shm::Command::kOrder ? wait_for_order : wait; }
};

// Adds the commands to the root and to `model`; parsing fills `command`, which must live as long as
// the Apps.
void add_server_commands(CLI::App& root, CLI::App& model, ServerCommand& command);

// The message to send. The error is the operator's (an id or a path that cannot be); paths become
// absolute, since the server has another working directory.
Result<shm::CommandMessage> message_of(const ServerCommand& command);

}  // namespace bitnetd::supervisor
