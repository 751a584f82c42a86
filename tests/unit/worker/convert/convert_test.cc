// Goal: a converted file holds the same weights, or what was lost is told or refused.
// Method: models made of known digits, scales and values, converted into a memfd and read again.
#include "worker/convert/convert.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "common/base/fd.h"
#include "common/quant/half.h"
#include "tests/unit/worker/inspect/made_model.h"

namespace bitnetd::worker {
namespace {

using quant::Type;
using test::MadeModel;

constexpr quant::Shape kShape{6, 512};
const char* const kMatrix = "blk.0.ffn_up.weight";

struct Converted {
    ConvertReport report;
    std::vector<std::byte> bytes;
    std::unique_ptr<ModelInput> input;
};

std::vector<std::byte> contents(int fd) {
    std::vector<std::byte> bytes(static_cast<size_t>(lseek(fd, 0, SEEK_END)));
    EXPECT_EQ(pread(fd, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    return bytes;
}

Result<Converted> convert(ModelInput& input, const ConvertOptions& options) {
    const Fd memory(memfd_create("converted", MFD_CLOEXEC));
    BITNETD_ASSIGN(auto report,
                   worker::convert(input, options, memory.get(), [](auto, auto, auto) {}));
    Converted out{std::move(report), contents(memory.get()), nullptr};
    BITNETD_ASSIGN(out.input, test::open_bytes(out.bytes));
    return out;
}

Converted converted(ModelInput& input, const ConvertOptions& options) {
    auto out = convert(input, options);
    if (!out.ok()) throw std::runtime_error(out.error().message);
    return std::move(out).value();
}

std::string refusal(const MadeModel& model, const ConvertOptions& options) {
    const auto input = model.open();
    const auto out = convert(*input, options);
    return out.ok() ? "" : out.error().message;
}

struct Ternary {
    std::vector<int8_t> digits;
    std::vector<float> scales;
};

// By its type, or as the values it is stored in.
Ternary read_ternary(ModelInput& input) {
    const ModelTensor& tensor = *input.find(kMatrix);
    Ternary out;
    out.digits.resize(tensor.shape.rows * tensor.shape.columns);
    if (tensor.ternary) {
        const auto matrix = input.open_ternary(tensor);
        out.scales.resize((*matrix)->scale_count(tensor.shape.rows));
        EXPECT_TRUE((*matrix)->read_rows(0, tensor.shape.rows, out.digits, out.scales).ok());
        return out;
    }
    std::vector<float> values(out.digits.size());
    EXPECT_TRUE(input.read_floats(tensor, 0, tensor.shape.rows, values).ok());
    out.scales = {0};
    for (size_t i = 0; i < values.size(); ++i) {
        out.digits[i] = static_cast<int8_t>((values[i] > 0) - (values[i] < 0));
        out.scales[0] = std::max(out.scales[0], std::fabs(values[i]));
    }
    return out;
}

MadeModel ternary_model(Type type, const std::vector<int8_t>& digits,
                        const std::vector<float>& scales) {
    MadeModel model;
    model.writer.add_text("general.architecture", "llama");
    model.add_ternary(kMatrix, type, kShape, digits, scales);
    return model;
}

TEST(Convert, BetweenTernaryTypesNothingIsLost) {
    const auto digits = test::some_digits(kShape, 1);
    constexpr float kScale = 0.0390625f;  // exact in all types
    for (const Type from : {Type::kI2_S, Type::kTQ1_0, Type::kTQ2_0, Type::kF32, Type::kF16}) {
        for (const Type to :
             {Type::kI2_S, Type::kTQ1_0, Type::kTQ2_0, Type::kF32, Type::kF16, Type::kBF16}) {
            const auto input = ternary_model(from, digits, {kScale}).open();
            const Converted out = converted(*input, {to, {}});
            EXPECT_EQ(out.input->find(kMatrix)->type, to);
            const Ternary found = read_ternary(*out.input);
            EXPECT_EQ(found.digits, digits);
            EXPECT_TRUE(std::all_of(found.scales.begin(), found.scales.end(),
                                    [&](float scale) { return scale == kScale; }));
            EXPECT_EQ(out.report.ternary, 1u);
            EXPECT_TRUE(out.report.rounded.empty());
            EXPECT_EQ(out.report.bytes, out.bytes.size());
        }
    }
}

TEST(Convert, ScalesThatAreRoundedAreTold) {
    constexpr float kScale = 0.1f;
    const auto model = ternary_model(Type::kI2_S, test::some_digits(kShape, 2), {kScale});
    const float half = quant::half_to_float(quant::float_to_half(kScale));
    for (const Type to : {Type::kTQ1_0, Type::kTQ2_0}) {
        const auto input = model.open();
        const Converted out = converted(*input, {to, {}});
        ASSERT_EQ(out.report.rounded.size(), 1u);
        EXPECT_EQ(out.report.rounded[0].name, kMatrix);
        EXPECT_DOUBLE_EQ(out.report.rounded[0].error,
                         std::fabs(static_cast<double>(half) / kScale - 1));
        EXPECT_NE(report_text(out.report).find("1 tensors were rounded"), std::string::npos);
    }
    for (const Type to : {Type::kF16, Type::kBF16}) {
        const std::string why = refusal(model, {to, {}});
        EXPECT_NE(why.find("tensor 'blk.0.ffn_up.weight': "), std::string::npos) << why;
        EXPECT_NE(why.find("cannot hold its scale 0.100000001"), std::string::npos) << why;
    }
    const auto input = model.open();
    EXPECT_EQ(read_ternary(*converted(*input, {Type::kF32, {}}).input).scales[0], kScale);
}

TEST(Convert, SeveralScalesFitWhereTheyCan) {
    const auto digits = test::some_digits(kShape, 3);
    const std::vector<float> scales = {1, 1, 1, 1, 1, 0.5f};  // the last row differs
    const auto model = ternary_model(Type::kTQ2_0, digits, scales);
    const std::string why = refusal(model, {Type::kI2_S, {}});
    EXPECT_NE(why.find("several scales (1, 0.5)"), std::string::npos) << why;
    const auto input = model.open();
    const Converted out = converted(*input, {Type::kTQ1_0, {}});
    const Ternary found = read_ternary(*out.input);
    EXPECT_EQ(found.digits, digits);
    EXPECT_EQ(found.scales, read_ternary(*input).scales);
}

TEST(Convert, BlocksOfZerosDoNotCountAsAnotherScale) {
    auto digits = test::some_digits(kShape, 4);
    std::fill(digits.begin(), digits.begin() + 512, int8_t{0});
    std::fill(digits.end() - 256, digits.end(), int8_t{0});
    const auto input = ternary_model(Type::kTQ2_0, digits, {0.25f}).open();
    const Converted out = converted(*input, {Type::kI2_S, {}});
    const Ternary found = read_ternary(*out.input);
    EXPECT_EQ(found.digits, digits);
    EXPECT_EQ(found.scales, std::vector<float>{0.25f});
}

TEST(Convert, AMatrixOfZerosStaysOne) {
    const std::vector<int8_t> zeros(kShape.rows * kShape.columns);
    const auto input = ternary_model(Type::kI2_S, zeros, {0.5f}).open();
    EXPECT_EQ(read_ternary(*converted(*input, {Type::kTQ2_0, {}}).input).digits, zeros);
}

TEST(Convert, OnlyFloatsThatAreTernaryAreTakenForIt) {
    auto values = std::vector<float>(kShape.rows * kShape.columns, 0.5f);
    values[7] = -0.5f;
    values[8] = 0;
    for (const bool exact : {true, false}) {
        if (!exact) values.back() = 0.25f;
        MadeModel model;
        model.add_floats(kMatrix, Type::kF16, kShape, values);
        model.add_floats("token_embd.weight", Type::kF16, {2, 512},
                         std::vector<float>(2 * 512, 0.5f));
        const auto input = model.open();
        const Converted out = converted(*input, {Type::kI2_S, {}});
        EXPECT_EQ(out.input->find(kMatrix)->type, exact ? Type::kI2_S : Type::kF16);
        EXPECT_EQ(out.input->find("token_embd.weight")->type, Type::kF16);
        EXPECT_EQ(out.report.ternary, exact ? 1u : 0u);
        EXPECT_EQ(out.report.kept, exact ? 1u : 2u);
    }
}

TEST(Convert, OtherTensorsKeepTheirBytes) {
    std::vector<float> values(4 * 64);
    for (size_t i = 0; i < values.size(); ++i)
        values[i] = std::sin(static_cast<float>(i));
    for (const Type type : {Type::kF32, Type::kF16, Type::kBF16, Type::kQ8_0}) {
        MadeModel model;
        model.add_floats("output.weight", type, {4, 64}, values);
        model.add_floats("output_norm.weight", Type::kBF16, {1, 64},
                         {values.begin(), values.begin() + 64});
        const auto input = model.open();
        const Converted out = converted(*input, {});
        const ModelTensor& before = *input->find("output.weight");
        const ModelTensor& after = *out.input->find("output.weight");
        ASSERT_EQ(after.type, type);
        std::vector<std::byte> was(before.bytes), is(after.bytes);
        ASSERT_TRUE(input->read_bytes(before, 0, 4, was).ok());
        ASSERT_TRUE(out.input->read_bytes(after, 0, 4, is).ok());
        EXPECT_EQ(was, is);
        // Norms are F32 in GGUF files, whatever they were.
        const ModelTensor& norm = *out.input->find("output_norm.weight");
        EXPECT_EQ(norm.type, Type::kF32);
        std::vector<float> a(64), b(64);
        ASSERT_TRUE(input->read_floats(*input->find("output_norm.weight"), 0, 1, a).ok());
        ASSERT_TRUE(out.input->read_floats(norm, 0, 1, b).ok());
        EXPECT_EQ(a, b);
        EXPECT_EQ(out.report.widened, 1u);
        EXPECT_TRUE(out.report.rounded.empty());
    }
}

TEST(Convert, OtherMatricesAreRoundedWhenAsked) {
    std::vector<float> values(4 * 64);
    for (size_t i = 0; i < values.size(); ++i)
        values[i] = std::sin(static_cast<float>(i));
    MadeModel model;
    model.add_floats("output.weight", Type::kF32, {4, 64}, values);
    const auto input = model.open();
    const Converted out = converted(*input, {Type::kI2_S, Type::kQ8_0});
    EXPECT_EQ(out.input->find("output.weight")->type, Type::kQ8_0);
    EXPECT_EQ(out.report.floats, 1u);
    ASSERT_EQ(out.report.rounded.size(), 1u);
    EXPECT_GT(out.report.rounded[0].error, 0);
    // Half a step of 1/127, and the block's scale rounded to half precision.
    EXPECT_LT(out.report.rounded[0].error, 0.5 / 127 + 0.001);
    EXPECT_EQ(out.input->metadata().integer("general.file_type", 100).value(), 7u);
}

TEST(Convert, KeysAreCopiedButForThoseOfStorage) {
    MadeModel model;
    model.writer = gguf::Writer(64);
    model.writer.add_text("general.architecture", "llama");
    model.writer.add_u32("general.file_type", 1);
    model.writer.add_u64("llama.u64", UINT64_MAX);
    model.writer.add_i32("llama.i32", -5);
    model.writer.add_f32("llama.f32", 0.1f);
    model.writer.add_f64("llama.f64", 0.1);
    model.writer.add_bool("llama.bool", true);
    model.writer.add_texts("llama.texts", std::vector<std::string>{"a", "", "\xff"});
    model.writer.add_i32s("llama.i32s", std::vector<int32_t>{1, -2});
    model.writer.add_f32s("llama.f32s", std::vector<float>{1, -2});
    model.add_ternary(kMatrix, Type::kI2_S, kShape, test::some_digits(kShape, 5), {1});
    const auto input = model.open();
    const Converted out = converted(*input, {Type::kTQ2_0, {}});
    const gguf::Metadata& keys = out.input->metadata();
    EXPECT_EQ(keys.find("general.alignment"), nullptr);
    EXPECT_EQ(keys.integer("general.file_type", 100).value(), 37u);
    EXPECT_EQ(keys.integer("general.quantization_version", 100).value(), 2u);
    for (const auto& [key, value] : input->metadata().all()) {
        if (key == "general.alignment" || key == "general.file_type") continue;
        const gguf::Value* found = keys.find(key);
        ASSERT_NE(found, nullptr) << key;
        EXPECT_EQ(found->type, value.type) << key;
        if (const auto* array = std::get_if<gguf::Array>(&value.content)) {
            const auto& copy = std::get<gguf::Array>(found->content);
            EXPECT_EQ(copy.element, array->element);
            EXPECT_EQ(copy.scalars, array->scalars);
            EXPECT_EQ(copy.strings, array->strings);
        } else if (!std::holds_alternative<gguf::Array>(found->content)) {
            EXPECT_EQ(found->content.index(), value.content.index());
        }
    }
    EXPECT_EQ(keys.integer("llama.u64", UINT64_MAX).value(), UINT64_MAX);
    EXPECT_EQ(keys.number("llama.f32").value(), static_cast<double>(0.1f));
    EXPECT_EQ(keys.number("llama.f64").value(), 0.1);
    EXPECT_EQ(keys.boolean("llama.bool").value(), true);
}

TEST(Convert, ConvertingTwiceChangesNothing) {
    const auto input = ternary_model(Type::kTQ2_0, test::some_digits(kShape, 6), {0.5f}).open();
    const Converted once = converted(*input, {});
    const Converted twice = converted(*once.input, {});
    EXPECT_EQ(once.bytes, twice.bytes);
}

TEST(Convert, WhatCannotBeStoredIsRefused) {
    MadeModel narrow;
    narrow.add_ternary(kMatrix, Type::kI2_S, {2, 128}, test::some_digits({2, 128}, 7), {1});
    const std::string why = refusal(narrow, {Type::kTQ2_0, {}});
    EXPECT_NE(why.find("tensor 'blk.0.ffn_up.weight': "), std::string::npos) << why;
    EXPECT_NE(why.find("256"), std::string::npos) << why;

    MadeModel empty;
    empty.writer.add_text("general.architecture", "llama");
    EXPECT_NE(refusal(empty, {}).find("no tensors"), std::string::npos);

    EXPECT_FALSE(parse_convert_options("Q4_K", "").ok());
    EXPECT_FALSE(parse_convert_options("I2_S", "I2_S").ok());
    EXPECT_TRUE(parse_convert_options("TQ1_0", "Q8_0").ok());
}

TEST(Convert, AFullDiskIsSaid) {
    const auto input = ternary_model(Type::kI2_S, test::some_digits(kShape, 8), {1}).open();
    const Fd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
    const auto out = worker::convert(*input, {}, full.get(), [](auto, auto, auto) {});
    ASSERT_FALSE(out.ok());
    EXPECT_NE(out.error().message.find("free some space"), std::string::npos);
    EXPECT_NE(out.error().message.find("No space left"), std::string::npos);
}

TEST(Convert, ProgressReachesItsEnd) {
    const auto input = ternary_model(Type::kI2_S, test::some_digits(kShape, 9), {1}).open();
    const Fd memory(memfd_create("converted", MFD_CLOEXEC));
    uint64_t last = 0, total = 0;
    const auto progress = [&](std::string_view phase, uint64_t done, uint64_t all) {
        if (phase != "convert") return;
        EXPECT_GE(done, last);
        last = done;
        total = all;
    };
    ASSERT_TRUE(worker::convert(*input, {}, memory.get(), progress).ok());
    EXPECT_EQ(last + 1, total);  // the total is one more, so that it is never 0
}

}  // namespace
}  // namespace bitnetd::worker
