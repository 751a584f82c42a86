#include "common/quant/type_ids.h"

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "common/base/bytes.h"

namespace bitnetd::quant {
namespace {

struct Id {
    uint32_t id;
    std::string_view name;
    std::optional<Type> type;  // what it means; nothing: refused by name
    std::optional<Type> other = std::nullopt;
};

constexpr Id kIds[] = {
    {0, "F32", Type::kF32},
    {1, "F16", Type::kF16},
    {2, "Q4_0", Type::kQ4_0},
    {3, "Q4_1", Type::kQ4_1},
    {4, "removed", std::nullopt},
    {5, "removed", std::nullopt},
    {6, "Q5_0", Type::kQ5_0},
    {7, "Q5_1", Type::kQ5_1},
    {8, "Q8_0", Type::kQ8_0},
    {9, "Q8_1", std::nullopt},
    {10, "Q2_K", Type::kQ2_K},
    {11, "Q3_K", Type::kQ3_K},
    {12, "Q4_K", Type::kQ4_K},
    {13, "Q5_K", Type::kQ5_K},
    {14, "Q6_K", Type::kQ6_K},
    {15, "Q8_K", std::nullopt},
    {16, "IQ2_XXS", std::nullopt},
    {17, "IQ2_XS", std::nullopt},
    {18, "IQ3_XXS", std::nullopt},
    {19, "IQ1_S", std::nullopt},
    {20, "IQ4_NL", std::nullopt},
    {21, "IQ3_S", std::nullopt},
    {22, "IQ2_S", std::nullopt},
    {23, "IQ4_XS", std::nullopt},
    {24, "I8", Type::kI8},
    {25, "I16", Type::kI16},
    {26, "I32", Type::kI32},
    {27, "I64", Type::kI64},
    {28, "F64", Type::kF64},
    {29, "IQ1_M", std::nullopt},
    {30, "BF16", Type::kBF16},
    {31, "Q4_0_4_4 (removed)", std::nullopt},
    {32, "Q4_0_4_8 (removed)", std::nullopt},
    {33, "Q4_0_8_8 (removed)", std::nullopt},
    {34, "TQ1_0", Type::kTQ1_0},
    {35, "TQ2_0", Type::kTQ2_0},
    {36, "I2_S", Type::kI2_S},
    {37, "I8_S", std::nullopt},
    {38, "TL1", Type::kTL1},
    {39, "MXFP4 or TL2", Type::kMXFP4, Type::kTL2},
    {40, "NVFP4", Type::kNVFP4},
    {41, "Q1_0", Type::kQ1_0},
    {42, "Q2_0 or TL2", Type::kQ2_0, Type::kTL2},
    {133, "Q6_0", std::nullopt},
    {134, "IQ1_BN", Type::kIQ1_BN},
    {135, "IQ2_BN", Type::kIQ2_BN},
    {142, "IQ2_TN", std::nullopt},
    {143, "IQ1_TN", std::nullopt},
    {335, "IQ2_BN_R4", Type::kIQ2_BN_R4},
};

// general.file_type of files whose matrices are of the type, less its "guessed" bit.
constexpr uint64_t kFileTypeGuessedBit = 1024;
constexpr uint64_t kFileTypeMxfp4 = 38;
constexpr uint64_t kFileTypeTl2 = 39;  // of the BitNet fork
constexpr uint64_t kFileTypeQ2_0 = 41;

const Id* find(uint32_t id) {
    const auto at = std::find_if(std::begin(kIds), std::end(kIds),
                                 [id](const Id& known) { return known.id == id; });
    return at == std::end(kIds) ? nullptr : at;
}

// One reading of the tensor that its shape allows.
struct Reading {
    ResolvedType resolved;
    bool fits = false;   // before the next tensor
    bool fills = false;  // up to it, but for the padding
};

Result<Reading> read_as(Type type, RowScales scales, const TensorPlace& place) {
    BITNETD_ASSIGN(const uint64_t matrix, matrix_bytes(type, place.shape, scales));
    const auto bytes = checked_mul(matrix, place.matrices);
    if (!bytes || *bytes > 8 * kElementsMax) return invalid("its size is beyond belief");
    Reading reading;
    reading.resolved = {type, scales, *bytes};
    reading.fits = *bytes <= place.bytes_until_next;
    const auto padded = checked_round_up(*bytes, place.alignment);
    reading.fills = *bytes == place.bytes_until_next || padded == place.bytes_until_next;
    return reading;
}

bool has_row_scales(Type type) {
    return info_of(type).row_header_bytes > 0;
}

// Every reading that the shape allows; an error when there is none.
Result<std::vector<Reading>> all_readings(const Id& id, const TensorPlace& place) {
    std::vector<Reading> readings;
    std::optional<Error> why_not;
    for (const std::optional<Type>& type : {id.type, id.other}) {
        if (!type) continue;
        for (const RowScales scales : {RowScales::kCurrent, RowScales::kAbsent}) {
            if (scales == RowScales::kAbsent && !has_row_scales(*type)) continue;
            auto reading = read_as(*type, scales, place);
            if (reading.ok()) readings.push_back(*reading);
            if (!reading.ok() && !why_not) why_not = std::move(reading).error();
        }
    }
    if (readings.empty()) return std::move(*why_not);
    return readings;
}

bool named_by_file_type(Type type, const TensorPlace& place) {
    if (!place.file_type) return false;
    const uint64_t file_type = *place.file_type & ~kFileTypeGuessedBit;
    return (type == Type::kTL2 && file_type == kFileTypeTl2) ||
           (type == Type::kMXFP4 && file_type == kFileTypeMxfp4) ||
           (type == Type::kQ2_0 && file_type == kFileTypeQ2_0);
}

Error too_small(const Id& id, const TensorPlace& place, std::span<const Reading> readings) {
    std::string expected;
    for (const Reading& reading : readings) {
        if (!expected.empty()) expected += " or ";
        expected += std::to_string(reading.resolved.bytes);
    }
    return invalid("type " + std::to_string(id.id) + " (" + std::string(id.name) + ") of " +
                   to_string(place.shape) + " takes " + expected + " bytes, but there are " +
                   std::to_string(place.bytes_until_next));
}

// The first of `readings` that `accepts`, when all that it accepts are of one type.
template <typename Accepts>
const Reading* only_type(std::span<const Reading> readings, Accepts accepts) {
    const Reading* found = nullptr;
    for (const Reading& reading : readings) {
        if (!accepts(reading)) continue;
        if (found != nullptr && found->resolved.type != reading.resolved.type) return nullptr;
        if (found == nullptr) found = &reading;
    }
    return found;
}

}  // namespace

// A size that fills the place is the best witness, then the file's own word, then that only one
// reading fits. A file may leave gaps, so that a smaller type fits where another one stands.
Result<ResolvedType> resolve_type(uint32_t id, const TensorPlace& place) {
    const Id* const known = find(id);
    if (known == nullptr || !known->type) {
        return unsupported("type " + std::to_string(id) + " (" + std::string(describe_id(id)) +
                           ") is not one that can be read");
    }
    BITNETD_ASSIGN(const std::vector<Reading> readings, all_readings(*known, place));
    const auto fits = [](const Reading& r) { return r.fits; };
    if (std::none_of(readings.begin(), readings.end(), fits)) {
        return too_small(*known, place, readings);
    }
    const Reading* chosen = only_type(readings, [](const Reading& r) { return r.fills; });
    if (chosen == nullptr) {
        chosen = only_type(readings, [&](const Reading& r) {
            return r.fits && named_by_file_type(r.resolved.type, place);
        });
    }
    if (chosen == nullptr) chosen = only_type(readings, fits);
    if (chosen == nullptr) {
        return unsupported("type " + std::to_string(id) + " is " + std::string(known->name) +
                           ": neither general.file_type nor the " +
                           std::to_string(place.bytes_until_next) + " bytes there tell which");
    }
    const Type type = chosen->resolved.type;
    if (type == Type::kMXFP4 || type == Type::kNVFP4) {
        return unsupported("type " + std::to_string(id) + " is " + std::string(name_of(type)) +
                           ", which cannot be read");
    }
    return chosen->resolved;
}

std::optional<uint32_t> id_of(Type type) {
    // TL2 has two; the fork's files of 2024-25, where most come from, have 39.
    if (type == Type::kTL2) return 39;
    for (const Id& known : kIds) {
        if (known.type == type) return known.id;
    }
    return std::nullopt;
}

std::string_view describe_id(uint32_t id) {
    const Id* const known = find(id);
    return known == nullptr ? "unknown" : known->name;
}

}  // namespace bitnetd::quant
