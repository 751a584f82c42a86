#include "common/base/bytes.h"
#include "shm/inspect/inspect.h"
#include "shm/ring/ring.h"

namespace bitnetd::shm {
namespace {
using Json = nlohmann::ordered_json;

// Adds the fields that `describe` names, when the payload holds at least a whole T.
template <typename T, typename Describe>
Json record_of(const char* name, std::span<const std::byte> payload, Describe&& describe) {
    Json record{{"record", name}, {"bytes", payload.size()}};
    if (payload.size() < sizeof(T)) {
        record["broken"] = "shorter than its struct";
        return record;
    }
    const T value = load<T>(payload.data());
    record["flight"] = value.flight;
    record["attempt"] = value.attempt;
    describe(record, value);
    return record;
}

Json describe_record(uint16_t type, std::span<const std::byte> payload) {
    switch (static_cast<RecordType>(type)) {
        case RecordType::kSubmit:
            return record_of<SubmitRecord>("submit", payload, [](Json& to, const SubmitRecord& it) {
                to["ids"] = it.id_count;
                to["prompt"] = it.prompt_count;
                to["position_limit"] = it.position_limit;
                to["ids_here"] = it.ids_here;
                to["priority"] = it.priority;
            });
        case RecordType::kSubmitMore:
            return record_of<SubmitMoreRecord>(
                "submit_more", payload,
                [](Json& to, const SubmitMoreRecord& it) { to["ids_here"] = it.ids_here; });
        case RecordType::kSubmitBias:
            return record_of<SubmitBiasRecord>(
                "submit_bias", payload,
                [](Json& to, const SubmitBiasRecord& it) { to["entries_here"] = it.entries_here; });
        case RecordType::kCancel:
            return record_of<CancelRecord>("cancel", payload, [](Json&, const CancelRecord&) {});
        case RecordType::kStarted:
            return record_of<StartedRecord>(
                "started", payload,
                [](Json& to, const StartedRecord& it) { to["cached"] = it.cached_count; });
        case RecordType::kToken:
            return record_of<TokenRecord>("token", payload, [](Json& to, const TokenRecord& it) {
                to["position"] = it.position;
                to["finish"] = static_cast<unsigned>(it.finish);
                to["alternatives"] = it.alternatives_count;
            });
        case RecordType::kGiveBack:
            return record_of<GiveBackRecord>("give_back", payload,
                                             [](Json& to, const GiveBackRecord& it) {
                                                 to["reason"] = static_cast<unsigned>(it.reason);
                                             });
        case RecordType::kFailed:
            return record_of<FailedRecord>("failed", payload, [](Json& to, const FailedRecord& it) {
                to["code"] = static_cast<unsigned>(it.code);
            });
        case RecordType::kPromptScores:
            return record_of<PromptScoresRecord>("prompt_scores", payload,
                                                 [](Json& to, const PromptScoresRecord& it) {
                                                     to["first_position"] = it.first_position;
                                                     to["count"] = it.count;
                                                 });
        case RecordType::kEmbedding:
            return record_of<EmbeddingRecord>("embedding", payload,
                                              [](Json& to, const EmbeddingRecord& it) {
                                                  to["first_value"] = it.first_value;
                                                  to["count"] = it.count;
                                              });
        case RecordType::kPad:
            break;  // not passed here
    }
    return Json{{"record", "unknown"}, {"type", type}, {"bytes", payload.size()}};
}

void list_records(std::span<const std::byte> data, uint64_t head, uint64_t tail, Json& to) {
    Json records = Json::array();
    uint64_t count = 0;
    for (uint64_t position = head; position != tail;) {
        const std::byte* const at = data.data() + (position & (data.size() - 1));
        const RecordHeader header = copy_record_header(at);
        const RecordCheck check = check_record(header, position, tail - position, data.size());
        if (check == RecordCheck::kBad) {
            to["broken"] = "no record at " + std::to_string(position) + " (type " +
                           std::to_string(header.type) + ", " +
                           std::to_string(header.length_bytes) +
                           " bytes); of a ring in use, look again";
            break;
        }
        if (check == RecordCheck::kRecord && ++count <= kRecordsShownMax) {
            // check_record() bounded the payload within the lap, so that this span is within
            // `data`.
            records.push_back(
                describe_record(header.type, {at + sizeof header, header.length_bytes}));
        }
        position += record_bytes(header.length_bytes);
    }
    to["records"] = count;
    if (!records.empty()) to["pending"] = std::move(records);
}

}  // namespace

Result<Json> inspect_ring(std::span<const std::byte> memory) {
    BITNETD_ASSIGN(const RingShape shape, read_ring_shape(memory));
    const auto& header = *reinterpret_cast<const RingHeader*>(memory.data());
    // The head first: a tail that is read later can only be further on.
    const uint64_t head = header.head.load(std::memory_order_acquire);
    const uint64_t tail = header.tail.load(std::memory_order_acquire);  // SYNC(ring.publish)
    Json ring{{"producer_incarnation", shape.producer_incarnation},
              {"consumer_incarnation", shape.consumer_incarnation},
              {"capacity_bytes", shape.capacity_bytes},
              {"head", head},
              {"tail", tail},
              {"used_bytes", tail - head}};
    if (tail - head > shape.capacity_bytes || tail % kRecordAlignment != 0 ||
        head % kRecordAlignment != 0) {
        ring["broken"] = "head and tail do not belong together";
        return ring;
    }
    list_records(memory.subspan(sizeof(RingHeader), shape.capacity_bytes), head, tail, ring);
    return ring;
}

}  // namespace bitnetd::shm
