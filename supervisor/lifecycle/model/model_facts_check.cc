#include "supervisor/lifecycle/model/model_facts_check.h"

#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "shm/abi/weights_abi.h"
#include "shm/control/text_field.h"
#include "shm/segment/segment.h"

namespace bitnetd::supervisor {
namespace {

Result<void> in_range(const char* name, uint64_t value, uint64_t min, uint64_t max) {
    if (value >= min && value <= max) return {};
    return invalid(std::string(name) + ": expected " + std::to_string(min) + " .. " +
                   std::to_string(max) + ", found " + std::to_string(value));
}

template <size_t N>
Result<void> is_text(const char* name, const char (&field)[N]) {
    const auto text = shm::field_text(field);
    if (text.size() == N) return invalid(std::string(name) + ": the text does not end");
    for (const char c : text) {
        if (c < ' ' || c > '~') return invalid(std::string(name) + ": not printable ASCII");
    }
    return {};
}

Result<void> check_pooling(shm::Pooling pooling) {
    if (shm::is_known(pooling)) return {};
    return invalid("pooling: expected a known one, found " +
                   std::to_string(static_cast<uint32_t>(pooling)));
}

Result<void> check_accuracy(const shm::ModelFacts& facts) {
    BITNETD_TRY(in_range("accuracy_count", facts.accuracy_count, 1, shm::kModelTypesMax));
    for (uint32_t i = 0; i < facts.accuracy_count; ++i) {
        const shm::TypeAccuracy& each = facts.accuracy[i];
        BITNETD_TRY(is_text("accuracy type", each.type));
        if (each.ratio >= 0 && each.ratio <= 1) continue;
        return invalid("accuracy of " + std::string(shm::field_text(each.type)) +
                       ": expected 0 .. 1, found " + std::to_string(each.ratio));
    }
    if (!(facts.cross_validation >= 0 && facts.cross_validation <= 1)) {
        return invalid("cross_validation: expected 0 .. 1, found " +
                       std::to_string(facts.cross_validation));
    }
    return {};
}

Result<uint64_t> size_of(int fd) {
    struct stat info {};
    if (fstat(fd, &info) != 0) return io_error("fstat", errno);
    return static_cast<uint64_t>(info.st_size);
}

}  // namespace

Result<void> check_model_facts(const shm::ModelFacts& facts, uint64_t file_bytes, int weights,
                               int vocabulary) {
    BITNETD_TRY(in_range("layers", facts.layers, 1, 512));
    BITNETD_TRY(in_range("hidden", facts.hidden, 1, 65'536));
    BITNETD_TRY(in_range("kv_heads", facts.kv_heads, 1, 65'536));
    BITNETD_TRY(in_range("head_dim", facts.head_dim, 1, 512));
    BITNETD_TRY(check_pooling(facts.pooling));
    BITNETD_TRY(in_range("context", facts.context, 1, 1u << 24));
    BITNETD_TRY(in_range("vocab", facts.vocab, 1, 1u << 24));
    BITNETD_TRY(in_range("file_bytes", facts.file_bytes, file_bytes, file_bytes));
    BITNETD_TRY(is_text("architecture", facts.architecture));
    BITNETD_TRY(is_text("quantization", facts.quantization));
    BITNETD_TRY(is_text("digest", facts.digest));
    BITNETD_TRY(is_text("name", facts.name));
    BITNETD_TRY(check_accuracy(facts));

    BITNETD_TRY(shm::check_weights_sealed(weights));
    BITNETD_TRY(shm::check_weights_sealed(vocabulary));
    BITNETD_ASSIGN(const uint64_t weights_bytes, size_of(weights));
    BITNETD_TRY(in_range("weights_bytes", facts.weights_bytes, weights_bytes, weights_bytes));
    BITNETD_TRY(in_range("weights segment bytes", weights_bytes, sizeof(shm::WeightsHeader),
                         shm::kSegmentBytesMax));
    BITNETD_ASSIGN(const uint64_t vocabulary_bytes, size_of(vocabulary));
    // A vocabulary is tens of megabytes at most; a frontend maps all of it.
    return in_range("vocabulary segment bytes", vocabulary_bytes, 64, uint64_t{1} << 32);
}

}  // namespace bitnetd::supervisor
