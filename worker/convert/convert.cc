#include "worker/convert/convert.h"

#include <algorithm>

#include "common/base/quote.h"
#include "common/gguf/gguf_writer.h"
#include "common/quant/encode.h"
#include "shm/control/text_field.h"
#include "worker/convert/convert_plan.h"
#include "worker/convert/gguf_keys.h"
#include "worker/convert/tensor_writer.h"
#include "worker/inspect/text_table.h"

namespace bitnetd::worker {
namespace {

using Json = nlohmann::ordered_json;
using Way = PlannedConversion::Way;
using quant::Type;

constexpr Type kTargets[] = {Type::kI2_S, Type::kTQ1_0, Type::kTQ2_0, Type::kF32,
                             Type::kF16,  Type::kBF16,  Type::kQ8_0};

Result<Type> parse_type(std::string_view name, bool (*can)(Type)) {
    for (const Type type : kTargets) {
        if (quant::name_of(type) == name && can(type)) return type;
    }
    return unsupported("type " + quote(name) + " cannot be converted to");
}

void count(const PlannedConversion& plan, ConvertReport& report) {
    if (plan.way == Way::kTernary)
        ++report.ternary;
    else if (plan.way == Way::kBytes)
        ++report.kept;
    else if (plan.tensor->shape.rows == 1)
        ++report.widened;
    else
        ++report.floats;
}

// What most of the matrices are now; the old file's word where nothing was changed.
std::optional<uint32_t> file_type(const ConvertReport& report, const ConvertOptions& options) {
    if (report.ternary > 0) return file_type_of(options.ternary);
    return report.floats > 0 ? file_type_of(*options.floats) : std::nullopt;
}

// Vectors have one dimension.
std::vector<uint64_t> dims_of(quant::Shape shape) {
    if (shape.rows == 1) return {shape.columns};
    return {shape.columns, shape.rows};
}

// The new file, written from front to back.
class Output {
  public:
    explicit Output(int fd) : fd_(fd) {}

    Result<void> write(std::span<const std::byte> bytes) {
        bytes_ += bytes.size();
        return write_output(fd_, bytes);
    }
    Result<void> pad(uint64_t bytes) {
        const std::vector<std::byte> zeros(bytes);
        return write(zeros);
    }
    uint64_t bytes() const { return bytes_; }

  private:
    int fd_;
    uint64_t bytes_ = 0;
};

Result<void> write_tensors(ModelInput& input, const std::vector<PlannedConversion>& plans,
                           const gguf::Writer& writer, Output& output, ConvertReport& report,
                           const TaskProgress& progress) {
    uint64_t total = 1;
    for (const PlannedConversion& plan : plans)
        total += plan.tensor->bytes;
    uint64_t done = 0;
    const ByteCount told = [&](uint64_t bytes) {
        done += bytes;
        progress("convert", done, total);
    };
    const PartSink sink = [&](std::span<const std::byte> part) { return output.write(part); };
    for (const PlannedConversion& plan : plans) {
        const ModelTensor& tensor = *plan.tensor;
        auto error = write_tensor(input, plan, sink, told);
        if (!error.ok()) return std::move(error).error().within("tensor " + quote(tensor.name));
        BITNETD_TRY(output.pad(writer.padded_bytes(plan.bytes) - plan.bytes));
        if (*error > 0) report.rounded.push_back({tensor.name, tensor.type, plan.type, *error});
    }
    return {};
}

std::string rounding_text(const ConvertReport& report) {
    const auto worst = std::max_element(
        report.rounded.begin(), report.rounded.end(),
        [](const RoundedTensor& a, const RoundedTensor& b) { return a.error < b.error; });
    if (worst == report.rounded.end()) return "nothing was rounded\n";
    return std::to_string(report.rounded.size()) + " tensors were rounded, at most by " +
           number_text(worst->error * 100) + " % (" + shm::printable(worst->name) + ", " +
           std::string(quant::name_of(worst->from)) + " to " +
           std::string(quant::name_of(worst->to)) + ")\n";
}

}  // namespace

Result<ConvertOptions> parse_convert_options(std::string_view ternary, std::string_view floats) {
    ConvertOptions options;
    BITNETD_ASSIGN(options.ternary, parse_type(ternary, quant::can_encode_digits));
    if (floats.empty()) return options;
    BITNETD_ASSIGN(options.floats, parse_type(floats, quant::can_encode_floats));
    return options;
}

Result<ConvertReport> convert(ModelInput& input, const ConvertOptions& options, int fd,
                              const TaskProgress& progress) {
    if (input.tensors().empty()) return invalid("the file has no tensors: nothing to convert");
    BITNETD_ASSIGN(const auto plans, plan_conversion(input, options, progress));
    ConvertReport report;
    report.ternary_type = options.ternary;
    for (const PlannedConversion& plan : plans)
        count(plan, report);
    gguf::Writer writer;
    write_keys(input.metadata(), file_type(report, options), writer);
    for (const PlannedConversion& plan : plans)
        writer.add_tensor(plan.tensor->name, dims_of(plan.tensor->shape), plan.type);
    Output output(fd);
    BITNETD_TRY(output.write(writer.head()));
    BITNETD_TRY(write_tensors(input, plans, writer, output, report, progress));
    report.bytes = output.bytes();
    return report;
}

Json to_json(const ConvertReport& report) {
    Json rounded = Json::array();
    for (const RoundedTensor& tensor : report.rounded) {
        rounded.push_back({{"name", tensor.name},
                           {"from", quant::name_of(tensor.from)},
                           {"to", quant::name_of(tensor.to)},
                           {"error", tensor.error}});
    }
    return {{"bytes", report.bytes},        {"type", quant::name_of(report.ternary_type)},
            {"ternary", report.ternary},    {"floats", report.floats},
            {"widened", report.widened},    {"kept", report.kept},
            {"rounded", std::move(rounded)}};
}

std::string report_text(const ConvertReport& report) {
    return std::to_string(report.ternary) + " ternary matrices as " +
           std::string(quant::name_of(report.ternary_type)) + ", " + std::to_string(report.floats) +
           " other matrices converted, " + std::to_string(report.widened) +
           " vectors widened to F32, " + std::to_string(report.kept) + " tensors kept, " +
           bytes_text(report.bytes) + "\n" + rounding_text(report);
}

}  // namespace bitnetd::worker
