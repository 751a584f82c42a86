// What the rings carry: requests from a frontend to a worker, tokens back. Plain values; a worker
// sees token ids only, never text. Readers check every count and length before use: the other side
// may be an older build, dying, or hostile.
//
// Flight: one generation on its way (one choice of one request), numbered by its frontend, unique
// within that frontend incarnation. Attempt: which dispatch of it this is; counts up from 1 at each
// re-dispatch. A token record counts only if its attempt is the current one and its position is the
// next one expected (fencing: a worker given up may publish late).
#pragma once

#include <cstdint>
#include <type_traits>

namespace bitnetd::shm {

inline constexpr uint32_t kRecordAbiVersion = 2;

enum class RecordType : uint16_t {
    kPad = 0,  // fills the end of a lap; written by the ring alone

    // frontend -> worker
    kSubmit = 1,      // SubmitRecord, then the first ids (u32 each)
    kSubmitMore = 2,  // SubmitMoreRecord, then further ids of the same flight, in order
    kSubmitBias = 3,  // SubmitBiasRecord, then LogitBias entries; before the last ids
    kCancel = 4,      // CancelRecord

    // worker -> frontend
    kStarted = 16,   // StartedRecord: the prompt is in the KV cache; comes before the first token
    kToken = 17,     // TokenRecord, then alternatives_count Alternative entries
    kGiveBack = 18,  // GiveBackRecord: not an error; dispatch it elsewhere
    kFailed = 19,    // FailedRecord: the flight ends with an error
    kPromptScores = 20,  // PromptScoresRecord, then entries: logprobs of prompt tokens
    kEmbedding = 21,     // EmbeddingRecord, then values (float each)
};

enum SubmitFlags : uint32_t {
    kIgnoreEos = 1u << 0,     // end-of-generation ids can not be drawn
    kWantLogprobs = 1u << 1,  // TokenRecord::logprob and `logprobs` alternatives are filled
    kScorePrompt = 1u << 2,   // kPromptScores for the prompt's tokens, with `logprobs` alternatives
    kWantEmbedding = 1u << 3,  // kEmbedding of the prompt; no token is drawn
};

// A flight is complete, and may be scheduled, when id_count ids have arrived. With kScorePrompt or
// kWantEmbedding, position_limit may (for an embedding: must) equal id_count: then no token is
// drawn, and the flight ends with its last kPromptScores or kEmbedding record.
struct SubmitRecord {
    uint64_t flight;
    uint32_t attempt;
    uint32_t id_count;         // prompt + already produced; 1 .. context
    uint32_t prompt_count;     // of these, the client's prompt; penalties and positions need it
    uint32_t position_limit;   // generation ends when prompt + produced reaches this; <= context
    uint64_t seed;             // the choice's seed
    float temperature;         // 0 = greedy
    float top_p;               // 1 = off
    float min_p;               // 0 = off
    float typical_p;           // 1 = off
    float repetition_penalty;  // 1 = off
    float frequency_penalty;   // 0 = off
    float presence_penalty;    // 0 = off
    uint32_t top_k;            // 0 = off
    uint32_t flags;            // SubmitFlags
    uint32_t logprobs;         // alternatives per token, 0 .. 20
    uint32_t bias_count;       // LogitBias entries that follow in kSubmitBias records, <= 1024
    uint32_t priority;         // 0 high, 1 normal, 2 low
    uint64_t submitted_ns;     // monotonic; when dispatch wrote the record
    uint32_t ids_here;         // ids behind this struct
    uint32_t reserved;         // zero
};
static_assert(sizeof(SubmitRecord) == 96 && std::is_trivially_copyable_v<SubmitRecord>);

struct SubmitMoreRecord {
    uint64_t flight;
    uint32_t attempt;
    uint32_t ids_here;
};
static_assert(sizeof(SubmitMoreRecord) == 16);

struct LogitBias {
    uint32_t token;
    float bias;  // added to the logit before everything else
};

struct SubmitBiasRecord {
    uint64_t flight;
    uint32_t attempt;
    uint32_t entries_here;
};
static_assert(sizeof(SubmitBiasRecord) == 16 && sizeof(LogitBias) == 8);

struct CancelRecord {
    uint64_t flight;
    uint32_t attempt;
    uint32_t reserved;  // zero
};
static_assert(sizeof(CancelRecord) == 16);

struct StartedRecord {
    uint64_t flight;
    uint32_t attempt;
    uint32_t cached_count;     // prompt tokens whose keys and values were already there
    uint64_t admitted_ns;      // monotonic; when the scheduler first ran it
    uint64_t prefill_done_ns;  // monotonic
};
static_assert(sizeof(StartedRecord) == 32);

enum class Finish : uint16_t {
    kNone = 0,
    kEndOfGeneration = 1,  // this token is one of the model's end-of-generation ids
    kLength = 2,           // position_limit reached with this token
};

struct Alternative {
    uint32_t token;
    float logprob;  // natural logarithm, of the raw logits
};

struct TokenRecord {
    uint64_t flight;
    uint32_t attempt;
    uint32_t position;  // index of this token in prompt + produced
    uint32_t token;
    float logprob;  // of `token`; valid with kWantLogprobs
    Finish finish;
    uint16_t alternatives_count;  // <= 20, descending by logprob
    uint32_t step;                // of the worker's steps, modulo 2^32, the one that drew it
};
static_assert(sizeof(TokenRecord) == 32 && sizeof(Alternative) == 8);

enum class GiveBackReason : uint32_t {
    kBusy = 1,      // no slot or no credit left; KV pages are waited for
    kDraining = 2,  // the worker was told to finish
};

struct GiveBackRecord {
    uint64_t flight;
    uint32_t attempt;
    GiveBackReason reason;
};
static_assert(sizeof(GiveBackRecord) == 16);

enum class FailureCode : uint32_t {
    kBadRecord = 1,   // the submission was inconsistent (a bug or a hostile frontend)
    kTooLong = 2,     // cannot fit this worker's KV memory at all
    kBadNumbers = 3,  // logits were not finite
};

struct FailedRecord {
    uint64_t flight;
    uint32_t attempt;
    FailureCode code;
};
static_assert(sizeof(FailedRecord) == 16);

// Scores of prompt tokens first_position .. first_position + count - 1, in order over one or more
// records, all before the first kToken; a later attempt sends them all again. Behind it, per token:
// float logprob, u32 alternatives_count, then that many Alternative, descending by logprob.
struct PromptScoresRecord {
    uint64_t flight;
    uint32_t attempt;
    uint32_t first_position;  // >= 1: the first token has no score
    uint32_t count;           // 0 only for a prompt of one token
    uint32_t reserved;        // zero
};
static_assert(sizeof(PromptScoresRecord) == 24);

// Values first_value .. first_value + count - 1 of the prompt's embedding, in order over one or
// more records; not normalised.
struct EmbeddingRecord {
    uint64_t flight;
    uint32_t attempt;
    uint32_t first_value;
    uint32_t count;
    uint32_t value_count;  // of the whole embedding: the model's hidden size
};
static_assert(sizeof(EmbeddingRecord) == 24);

inline constexpr uint32_t kLogprobsMax = 20;
inline constexpr uint32_t kLogitBiasMax = 1024;

}  // namespace bitnetd::shm
