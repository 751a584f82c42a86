// Messages on the control socket between the supervisor and one child: a SOCK_SEQPACKET pair, one
// message per packet, descriptors attached by SCM_RIGHTS. The channel that carries them is in
// shm/control/. The supervisor checks everything a child says; a child trusts the supervisor.
//
// Start of a child: kSelf, kSettings, then what its role needs (a worker: kWeights, kKvArena; a
// frontend: kListen..., kModel...), then kStart. The child answers kReady (or exits with a code of
// common/config/exit_codes.h). After that kPeer / kPeerGone / kBoard / kModel come at any time.
#pragma once

#include <cstdint>
#include <type_traits>

#include "shm/abi/weights_abi.h"

namespace bitnetd::shm {

inline constexpr uint32_t kControlAbiVersion = 7;
inline constexpr uint32_t kControlPayloadMax = 60 * 1024;
inline constexpr uint32_t kControlFdsMax = 16;
// Files of one model; they must fit the channel's queue. The largest published have under 200.
inline constexpr uint32_t kModelFilesMax = 512;

enum class MessageType : uint16_t {
    // supervisor -> child
    kSelf = 1,       // SelfMessage            fds: own board (read-write), own doorbell
    kSettings = 2,   // text: one "name=value" line per parameter that a child needs
    kListen = 3,     // ListenMessage          fds: a listening socket
    kBoard = 4,      // BoardMessage           fds: a board to read: of any process -> frontend; the
                     //                             supervisor's, for its heartbeat -> worker
    kModel = 5,      // ModelMessage           fds: vocabulary image (sealed)          -> frontend
    kModelGone = 6,  // ModelMessage (model_key)                                       -> frontend
    kPeer = 7,       // PeerMessage            fds: request ring, token ring, the peer's doorbell,
                     //                             the peer's board
    kPeerGone = 8,   // PeerGoneMessage: fence it: read its ring to the end once, unmap
    kWeights = 9,    // ModelMessage           fds: weights (sealed)                   -> worker
    kKvArena = 10,   // KvArenaMessage         fds: KV arena                           -> CPU worker
    kStart = 11,     // nothing: all of the above is complete
    kDrain = 12,     // finish what you have, take nothing new, then exit with kExitOk
    kLoad = 13,      // LoadMessage            fds: weights, vocabulary                -> loader
    kHealth = 14,    // HealthMessage: what the supervisor knows that boards do not    -> frontend
    kModelFile = 15,  // ModelFileMessage       fds: the file; before kLoad or kTask    -> loader
    kTask = 16,       // TaskMessage            fds: output, then what the task reads   -> loader
    // Behind these, the structs are in rollout_abi.h.
    kModelStanding = 17,  // ModelStandingMessage                                       -> frontend
    kCanary = 18,         // CanaryMessage: copies of live requests, or a share of them -> frontend
    kRollout = 19,        // RolloutMessage: one rollout as it stands                   -> frontend
    kOrderAnswer = 20,    // OrderAnswerMessage                                         -> frontend
    kHandOver = 21,       // nothing            fds: a Channel to the successor: give it what idles,
                          //                         close it; kDrain follows           -> frontend
    kPredecessor = 22,    // nothing            fds: a Channel from the predecessor; kConnection
                          //                         messages until it closes           -> frontend
    kKnownPeers = 23,     // u64[]: every incarnation that lives; fence all others. After a
                          // supervisor's restart, since it may have missed deaths
    kLogLevel = 24,       // text: debug, info, warn or error
    kReopenLogs = 25,     // fds: the new standard error
    kPromoted = 26,       // IncarnationMessage: the canary is a worker like any other -> frontend
    kSelfTest = 27,       // SelfTestMessage                                           -> frontend

    // child -> supervisor
    kReady = 32,          // ReadyMessage
    kLoadProgress = 33,   // LoadProgressMessage
    kLoaded = 34,         // ModelFacts: both segments are written and sealed
    kLoadFailed = 35,     // text: why the file was refused
    kTaskProgress = 36,   // TaskProgressMessage
    kTaskDone = 37,       // TaskDoneMessage: the output is complete
    kTaskFailed = 38,     // text: why there is no output
    kModelReleased = 39,  // ModelKeyMessage: no generation here needs it any more   <- frontend
    kCanaryReport = 40,   // CanaryReportMessage                                     <- frontend
    kOrder = 41,          // OrderMessage: what an operator asked over HTTP          <- frontend
    kSelfTestDone = 42,   // SelfTestDoneMessage                                     <- frontend
    kPeerBroken = 43,     // IncarnationMessage: of the peer whose rings are not as agreed; it was
                          //                     dropped                             <- both

    // frontend -> its successor, on the channel of kHandOver and kPredecessor
    kConnection = 44,  // nothing               fds: 1 .. kControlFdsMax idle client connections

    // bitnetctl / bitnet-shmdump -> supervisor, on the control listener
    kInspect = 48,      // nothing; answered by kInspectItem..., kInspectEnd
    kInspectItem = 49,  // InspectItem         fds: the segment, read-only
    kInspectEnd = 50,

    // bitnetctl -> supervisor, on the control listener
    kCommand = 51,      // CommandMessage; answered by kCommandText..., kCommandEnd
    kCommandText = 52,  // text: a piece of the answer, or with kCommandWatch one line of JSON
    kCommandEnd = 53,   // CommandEndMessage
};

struct MessageHeader {
    uint32_t abi_version;  // kControlAbiVersion
    MessageType type;
    uint16_t fd_count;       // <= kControlFdsMax; what the packet really carried must equal it
    uint32_t payload_bytes;  // <= kControlPayloadMax; behind this header
    uint32_t reserved;       // zero
};
static_assert(sizeof(MessageHeader) == 16);

struct SelfMessage {
    uint64_t incarnation;
    uint32_t slot;
    // Of a CPU worker: which of how many equal parts of the usable cores is its own, and whether
    // others compute there too.
    uint32_t core_share;
    uint32_t core_shares;
    uint32_t cores_are_shared;
};
static_assert(sizeof(SelfMessage) == 24);

struct ListenMessage {
    char address[256];  // as configured, for the log: "[::1]:8080", "unix:/run/..."
};

struct BoardMessage {
    uint64_t incarnation;
    uint32_t role;  // Role
    uint32_t slot;
    uint32_t gone;  // 1: its process is replaced; forget the mapping (no descriptor attached)
    uint32_t reserved;
};

// The accuracy ratio of the matrices of one type, as the loader measured it
// (worker/prepare/accuracy.h).
struct TypeAccuracy {
    char type[12];  // "I2_S"; ends with a NUL
    float ratio;    // of the worst matrix: 0 .. 1
};
static_assert(sizeof(TypeAccuracy) == 16);

inline constexpr uint32_t kModelTypesMax = 32;  // as many as there are types of matrices

// What the loader found in a model file. Text fields end with a NUL.
struct ModelFacts {
    uint64_t parameter_count;
    uint64_t weights_bytes;  // of the sealed segment
    uint64_t file_bytes;
    uint32_t context;
    uint32_t vocab;
    uint32_t hidden;
    uint32_t layers;
    uint32_t kv_heads;
    uint32_t head_dim;
    char architecture[32];  // "bitnet-b1.58"
    char quantization[16];  // "I2_S": the type of most weights in the file
    char digest[40];        // hex of WeightsHeader::digest
    char name[128];         // general.name of the file, may be empty
    Pooling pooling;        // kNone: it generates text, else it makes embeddings
    uint32_t accuracy_count;
    TypeAccuracy accuracy[kModelTypesMax];  // the first accuracy_count; each type once
    // The ratio measured again, by another kernel table where the CPU has one, over other rows and
    // other activations: of the worst matrix, 0 .. 1.
    float cross_validation;
    uint32_t reserved;  // zero
};
static_assert(sizeof(ModelFacts) == 792 && std::is_trivially_copyable_v<ModelFacts>);

// What a model that is loaded is there for.
enum class ModelStanding : uint32_t {
    kServing = 0,   // new requests of its id use it
    kCanary = 1,    // on trial: only what kCanary sends there
    kRetiring = 2,  // nothing new; generations that began on it end on it
};

struct ModelMessage {
    uint64_t model_key;  // numbered by the supervisor, one per load; workers and flights pin it
    int64_t loaded_unix_s;
    uint32_t is_default;     // 1: requests without `model` use it
    ModelStanding standing;  // when sent; kModelStanding changes it
    char id[128];            // what clients call it
    char path[512];          // as configured
    ModelFacts facts;
};
static_assert(sizeof(ModelMessage) == 1456 && std::is_trivially_copyable_v<ModelMessage>);

struct KvArenaMessage {
    uint64_t bytes;
};

// To a frontend: a worker to send flights to. To a worker: a frontend it serves.
// Sent again after a supervisor's restart: a peer that is known already is left as it is.
struct PeerMessage {
    uint64_t incarnation;  // of the peer
    uint64_t model_key;    // of the worker of this pair
    uint32_t slot;         // of the peer, among its role
    uint32_t credits;      // flights this frontend may have on this worker at once
    char device[16];       // of the worker of this pair
    char kernel_isa[16];   // likewise
    uint32_t is_canary;    // 1: gets what kCanary sends there, nothing else
    uint32_t reserved;
};
static_assert(sizeof(PeerMessage) == 64);

struct IncarnationMessage {
    uint64_t incarnation;
};

// Why a peer went away. kOwnFault deaths count against the flights in its step plan.
enum class PeerEnd : uint32_t { kDrained = 1, kKilled = 2, kOwnFault = 3 };

struct PeerGoneMessage {
    uint64_t incarnation;
    uint32_t slot;
    PeerEnd end;
};
static_assert(sizeof(PeerGoneMessage) == 16);

// One of the files a model consists of; at most kModelFilesMax.
struct ModelFileMessage {
    uint64_t bytes;
    char name[256];  // within its directory: "model.gguf", "1_Pooling/config.json"
};
static_assert(sizeof(ModelFileMessage) == 264);

struct LoadMessage {
    uint64_t file_bytes;  // of all files
    uint32_t file_count;
    uint32_t reserved;
};
static_assert(sizeof(LoadMessage) == 16);

struct LoadProgressMessage {
    uint32_t percent;  // 0 .. 100
    char phase[28];    // "validate", "memory", "pack", "check", "seal"
};

// What bitnetctl asks of a loader, about the files it sent before.
enum class Task : uint32_t {
    kInfo = 1,      // fds: output
    kVerify = 2,    // fds: output
    kTokenize = 3,  // fds: output, text
    kRender = 4,    // fds: output, JSON, template (with kTaskTemplate)
    kConvert = 5,   // fds: output (a report), the new model file (empty)
};

enum TaskFlags : uint32_t {
    kTaskJson = 1u << 0,          // info, verify, convert: output for machines, not for people
    kTaskAddSpecial = 1u << 1,    // tokenize
    kTaskParseSpecial = 1u << 2,  // tokenize
    kTaskTemplate = 1u << 3,      // render
};

// The output is an empty memfd that the loader fills.
struct TaskMessage {
    Task task;
    uint32_t flags;         // TaskFlags
    char name[4096];        // what the operator called the model, for messages
    char ternary_type[16];  // convert: of ternary matrices, "I2_S"
    char float_type[16];    // convert: of other matrices; empty: as stored
};
static_assert(sizeof(TaskMessage) == 4136 && std::is_trivially_copyable_v<TaskMessage>);

struct TaskProgressMessage {
    uint64_t done_bytes;
    uint64_t total_bytes;  // not 0
    char phase[32];        // "verify", "convert"
};
static_assert(sizeof(TaskProgressMessage) == 48);

struct TaskDoneMessage {
    uint32_t refused;  // 1: the task was done and its verdict is no (verify)
    uint32_t reserved;
};

struct ReadyMessage {
    uint32_t slots_max;  // worker: sequences it takes at once; 0 for others
    uint32_t reserved;
    char kernel_isa[16];  // worker: the kernel table in use
};

struct HealthMessage {
    uint32_t workers_expected;
    uint32_t workers_restarting;  // dead and within their back-off
    uint32_t draining;            // 1: the server was told to stop
    uint32_t models_loading;
    char reason[112];  // why degraded; empty when all is well
};
static_assert(sizeof(HealthMessage) == 128);

struct InspectItem {
    uint64_t incarnation;
    uint32_t kind;  // 1 board, 2 request ring, 3 token ring
    uint32_t alive;
    char name[64];  // "worker/0", "frontend/0 -> worker/1 requests"
};

}  // namespace bitnetd::shm
