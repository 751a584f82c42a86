// Messages about change: what operators order, how a rollout stands, what a canary did. Part of the
// control protocol (control_abi.h); texts end with a NUL.
//
//   operator --HTTP--> frontend --kOrder--> supervisor --kOrderAnswer--> frontend
//   operator --bitnetctl--------kCommand--> supervisor --kCommandText..., kCommandEnd--> bitnetctl
//   supervisor --kRollout--> every frontend, whenever a rollout moves
#pragma once

#include <cstdint>
#include <type_traits>

#include "shm/abi/control_abi.h"

namespace bitnetd::shm {

// --- models come and go --------------------------------------------------------------------------

// kRetiring: the frontend takes nothing new for it and says kModelReleased once nothing it has
// needs it, queued generations and running preparations included. kServing of a model whose id
// another one serves: the other one becomes kRetiring in the same turn, so that no request finds
// neither.
struct ModelStandingMessage {
    uint64_t model_key;
    ModelStanding standing;
    uint32_t is_default;  // of kServing
};
static_assert(sizeof(ModelStandingMessage) == 16);

struct ModelKeyMessage {
    uint64_t model_key;
};

// --- canary --------------------------------------------------------------------------------------

enum class CanaryStage : uint32_t {
    kOff = 0,     // over: send nothing any more; copies that run are cancelled
    kCopies = 1,  // copies of live requests; what comes back is compared or only counted
    kShare = 2,   // a share of the live requests themselves
};

// One canary at a time. Of requests that `baseline_key` serves, `permille` of a thousand are copied
// to (or, of kShare, served by) the worker, prepared for `model_key`.
struct CanaryMessage {
    uint64_t rollout;  // number
    uint64_t worker;   // incarnation
    uint64_t
        model_key;  // what it computes; equal to baseline_key when only binary or settings differ
    uint64_t baseline_key;
    CanaryStage stage;
    uint32_t permille;    // 1 .. 1000
    uint32_t must_equal;  // 1: the copy's ids must equal the original's
    uint32_t reserved;
};
static_assert(sizeof(CanaryMessage) == 48);

// From each frontend, after every copy that ended and at most every 100 ms: sums since the kCanary
// of this rollout and stage. Times are of the same requests on both sides.
struct CanaryReportMessage {
    uint64_t rollout;
    CanaryStage stage;
    uint32_t reserved;
    uint64_t completed;  // copies (or shared requests) that ended by themselves
    uint64_t failed;     // ended by an error, or by the canary's death
    uint64_t different;  // completed, and not the original's ids (with must_equal)
};
static_assert(sizeof(CanaryReportMessage) == 40);

// --- self-test -----------------------------------------------------------------------------------

inline constexpr uint32_t kTestPromptsMax = 5;
inline constexpr uint32_t kTestPromptBytes = 256;

// Computes each prompt on that worker, greedily and a few tokens long, before any client's request
// may: with the frontend's tokenizer, over the rings, as everything later. Each must give a token,
// of finite numbers.
struct SelfTestMessage {
    uint64_t rollout;
    uint64_t worker;  // incarnation
    uint64_t model_key;
    uint32_t count;  // 1 .. kTestPromptsMax
    uint32_t reserved;
    char prompts[kTestPromptsMax][kTestPromptBytes];
};
static_assert(sizeof(SelfTestMessage) == 32 + kTestPromptsMax * kTestPromptBytes);

struct SelfTestDoneMessage {
    uint64_t rollout;
    uint64_t worker;
    uint32_t failed;  // 1: text says which prompt and how
    uint32_t reserved;
    char text[232];
};
static_assert(sizeof(SelfTestDoneMessage) == 256);

// --- rollouts ------------------------------------------------------------------------------------

enum class RolloutKind : uint32_t {
    kLoad = 1,      // a model that was not there
    kSwap = 2,      // another file under an id that is served
    kRollback = 3,  // back to what the id served before
    kRemove = 4,    // a model leaves
    kReload = 5,    // changed settings: workers and frontends anew
    kUpgrade = 6,   // changed binaries: likewise
};
inline constexpr RolloutKind kLastRolloutKind = RolloutKind::kUpgrade;

enum class RolloutPhase : uint32_t {
    kPrepare = 1,  // loader: validate, pack, seal
    kVerify = 2,   // a worker started on it computed the self-test prompts
    kCanaryCopies = 3,
    kCanaryShare = 4,
    kRoll = 5,    // worker by worker (or all at once), then frontends
    kCommit = 6,  // the old ones drain and go
    kDone = 7,
};
inline constexpr RolloutPhase kLastRolloutPhase = RolloutPhase::kDone;

enum class RolloutOutcome : uint32_t { kRunning = 0, kCompleted = 1, kFailed = 2, kRolledBack = 3 };
inline constexpr RolloutOutcome kLastRolloutOutcome = RolloutOutcome::kRolledBack;

enum class SwapStrategy : uint32_t {
    kRolling = 1,    // one worker after the other
    kBlueGreen = 2,  // all new ones beside all old ones, then at once
};

struct RolloutMessage {
    uint64_t number;  // counts up, over restarts too; shown as "rollout-NUMBER"
    RolloutKind kind;
    RolloutPhase phase;  // kDone when completed; where it failed or turned back otherwise
    RolloutOutcome outcome;
    SwapStrategy strategy;
    uint32_t progress_permille;
    uint32_t has_old;  // old_facts are there
    uint32_t has_new;  // new_facts are there
    uint32_t reserved;
    int64_t started_unix_ms;
    int64_t ended_unix_ms;  // 0: it runs
    uint64_t prepare_ms;    // how long each phase took, or has taken so far
    uint64_t verify_ms;
    uint64_t canary_ms;
    uint64_t roll_ms;
    uint64_t rollback_ms;
    uint64_t canary_copies;  // completed
    uint64_t canary_different;
    float speed_ratio;  // canary's decode speed / the old one's; 0: not measured
    float accuracy;     // of the worst matrix of the new model; 0: not measured
    uint64_t old_key;
    uint64_t new_key;
    char model[128];   // id; empty for kReload and kUpgrade
    char reason[512];  // why it failed or was rolled back; empty otherwise
    ModelFacts old_facts;
    ModelFacts new_facts;
};
static_assert(std::is_trivially_copyable_v<RolloutMessage>);
static_assert(sizeof(RolloutMessage) == 136 + 128 + 512 + 2 * sizeof(ModelFacts));

// --- orders --------------------------------------------------------------------------------------

enum class OrderKind : uint32_t { kLoad = 1, kSwap = 2, kRollback = 3, kRemove = 4 };

// Checked by the supervisor whatever the frontend checked: the path must lie in one of
// server.models_dir, links resolved.
struct OrderMessage {
    uint64_t request;  // the sender's number, repeated in the answer
    OrderKind kind;
    SwapStrategy strategy;         // of kSwap; 0: what rollout.strategy says
    uint32_t rollback_on_failure;  // 0: once the new model serves, failing workers only restart
    uint32_t timeout_s;            // 0: the configured limit
    float accuracy_min;            // 0: model.accuracy_min; below: refused
    uint32_t test_prompts;         // how many of prompts[] are set, <= 5
    char model[128];               // id
    char path[512];                // of kLoad, kSwap
    char prompts[kTestPromptsMax][kTestPromptBytes];  // self-test
};
static_assert(sizeof(OrderMessage) == 32 + 128 + 512 + kTestPromptsMax * kTestPromptBytes);

enum class OrderError : uint32_t {
    kNone = 0,
    kRolloutInProgress = 1,
    kModelNotFound = 2,
    kPathNotAllowed = 3,
    kInvalid = 4,  // text says what was expected and found
    kNothingToRollBack = 5,
    kNotNow = 6,  // draining
};

struct OrderAnswerMessage {
    uint64_t request;
    uint64_t rollout;  // its number; 0 with an error
    OrderError error;
    uint32_t reserved;
    char text[256];
};
static_assert(sizeof(OrderAnswerMessage) == 280);

// --- bitnetctl -----------------------------------------------------------------------------------

enum class Command : uint32_t {
    kStatus = 1,         // the answer: one JSON object
    kDrain = 2,          // as SIGTERM
    kReload = 3,         // as SIGHUP
    kUpgrade = 4,        // as SIGUSR2
    kRestartWorker = 5,  // argument: slot; a new one beside it, then it drains
    kLogLevel = 6,       // text: the level, of all processes
    kOrder = 7,          // order
    kRollouts = 8,       // the answer: one JSON array, newest first; argument: how many
};

enum CommandFlags : uint32_t {
    // Reload, upgrade, restart and orders: a line of JSON (kCommandText) whenever the rollout
    // moves,
    // kCommandEnd when it ended. Without it kCommandEnd comes when it began.
    kCommandWatch = 1u << 0,
};

struct CommandMessage {
    Command command;
    uint32_t flags;  // CommandFlags
    uint64_t argument;
    char text[64];
    OrderMessage order;
};
static_assert(sizeof(CommandMessage) == 80 + sizeof(OrderMessage));

struct CommandEndMessage {
    uint32_t failed;  // 1: not done, or the rollout did not complete; text says why
    uint32_t reserved;
    char text[1016];
};
static_assert(sizeof(CommandEndMessage) == 1024);

}  // namespace bitnetd::shm
