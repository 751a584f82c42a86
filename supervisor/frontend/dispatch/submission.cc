#include "supervisor/frontend/dispatch/submission.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "common/base/check.h"

namespace bitnetd::frontend {
namespace {

template <typename Head, typename Entry>
OutRecord encode(shm::RecordType type, const Head& head, std::span<const Entry> entries) {
    OutRecord record{type, std::vector<std::byte>(sizeof head + entries.size_bytes())};
    std::memcpy(record.payload.data(), &head, sizeof head);
    if (!entries.empty()) {
        std::memcpy(record.payload.data() + sizeof head, entries.data(), entries.size_bytes());
    }
    return record;
}

shm::SubmitRecord head_of(const Flight& flight, uint64_t now_ns) {
    const FlightSpec& spec = flight.spec;
    shm::SubmitRecord head{};
    head.flight = flight.id;
    head.attempt = flight.attempt;
    head.id_count = flight.next_position();
    head.prompt_count = flight.prompt_count();
    head.position_limit = spec.position_limit;
    head.seed = spec.seed;
    head.temperature = spec.sampling.temperature;
    head.top_p = spec.sampling.top_p;
    head.min_p = spec.sampling.min_p;
    head.typical_p = spec.sampling.typical_p;
    head.repetition_penalty = spec.sampling.repetition_penalty;
    head.frequency_penalty = spec.sampling.frequency_penalty;
    head.presence_penalty = spec.sampling.presence_penalty;
    head.top_k = spec.sampling.top_k;
    head.flags = flight.flags();
    head.logprobs = spec.logprobs;
    head.bias_count = spec.bias ? static_cast<uint32_t>(spec.bias->size()) : 0;
    head.priority = static_cast<uint32_t>(spec.priority);
    head.submitted_ns = now_ns;
    return head;
}

void append_bias(std::vector<OutRecord>& records, const Flight& flight, size_t payload_bytes_max) {
    std::span<const shm::LogitBias> left = *flight.spec.bias;
    const size_t fit = (payload_bytes_max - sizeof(shm::SubmitBiasRecord)) / sizeof(shm::LogitBias);
    while (!left.empty()) {
        const auto here = left.first(std::min(fit, left.size()));
        const shm::SubmitBiasRecord head{flight.id, flight.attempt,
                                         static_cast<uint32_t>(here.size())};
        records.push_back(encode(shm::RecordType::kSubmitBias, head, here));
        left = left.subspan(here.size());
    }
}

}  // namespace

std::vector<OutRecord> encode_submission(const Flight& flight, uint64_t now_ns,
                                         size_t payload_bytes_max) {
    BITNETD_CHECK(payload_bytes_max >= 256);
    std::vector<uint32_t> ids(*flight.spec.prompt);
    ids.insert(ids.end(), flight.produced.begin(), flight.produced.end());

    shm::SubmitRecord head = head_of(flight, now_ns);
    const bool has_bias = head.bias_count > 0;
    const size_t first_fit = (payload_bytes_max - sizeof head) / sizeof(uint32_t);
    const size_t first_max = has_bias ? ids.size() - 1 : ids.size();
    head.ids_here = static_cast<uint32_t>(std::min(first_fit, first_max));

    std::span<const uint32_t> left = ids;
    std::vector<OutRecord> records;
    records.push_back(encode(shm::RecordType::kSubmit, head, left.first(head.ids_here)));
    left = left.subspan(head.ids_here);
    if (has_bias) append_bias(records, flight, payload_bytes_max);

    const size_t more_fit = (payload_bytes_max - sizeof(shm::SubmitMoreRecord)) / sizeof(uint32_t);
    while (!left.empty()) {
        const auto here = left.first(std::min(more_fit, left.size()));
        const shm::SubmitMoreRecord more{flight.id, flight.attempt,
                                         static_cast<uint32_t>(here.size())};
        records.push_back(encode(shm::RecordType::kSubmitMore, more, here));
        left = left.subspan(here.size());
    }
    return records;
}

OutRecord encode_cancel(uint64_t flight, uint32_t attempt) {
    const shm::CancelRecord head{flight, attempt, 0};
    return encode(shm::RecordType::kCancel, head, std::span<const uint32_t>());
}

}  // namespace bitnetd::frontend
