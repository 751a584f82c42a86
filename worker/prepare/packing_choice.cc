#include "worker/prepare/packing_choice.h"

#include <optional>
#include <string>

#include "common/base/quote.h"
#include "common/quant/float_rows.h"
#include "worker/kernels/block_pack.h"

namespace bitnetd::worker {
namespace {

using quant::Type;
using shm::Packing;

bool is_plain_float(Type type) {
    return type == Type::kF32 || type == Type::kF16 || type == Type::kBF16;
}

// The packing that holds a matrix of floats or of blocks of them without changing a value.
std::optional<PackingChoice> exact_packing(Type type) {
    if (type == Type::kF32) return PackingChoice{Packing::kF32};
    if (type == Type::kF16) return PackingChoice{Packing::kF16};
    if (type == Type::kBF16) return PackingChoice{Packing::kBF16};
    if (const auto format = kernels::block_format_of(type)) {
        return PackingChoice{Packing::kBlocks, static_cast<uint32_t>(*format)};
    }
    return std::nullopt;
}

Error refusal(const ModelTensor& tensor, const char* expected) {
    return unsupported("tensor " + quote(tensor.name) + " has type " +
                       std::string(quant::name_of(tensor.type)) + "; supported here " + expected);
}

}  // namespace

Result<PackingChoice> choose_packing(const ModelTensor& tensor, TensorKind kind,
                                     const Family& family) {
    if (kind == TensorKind::kVector) {
        if (quant::float_decoder(tensor.type) == nullptr) {
            return refusal(tensor, "are types that stand for floats");
        }
        return PackingChoice{Packing::kF32};
    }
    if (kind == TensorKind::kLinear && tensor.ternary) return PackingChoice{Packing::kTernary2Bit};
    if (kind == TensorKind::kLinear && family.is_ternary) {
        if (is_plain_float(tensor.type)) return PackingChoice{Packing::kTernary2Bit};
        return refusal(tensor, "are ternary types, and F32, F16 or BF16 with ternary values");
    }
    if (const auto choice = exact_packing(tensor.type)) return *choice;
    // A table of a type that is not multiplied as it is.
    if (kind == TensorKind::kTable && quant::float_decoder(tensor.type) != nullptr) {
        return PackingChoice{Packing::kF32};
    }
    return refusal(tensor,
                   "are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, Q1_0, Q2_0 "
                   "and ternary types");
}

}  // namespace bitnetd::worker
