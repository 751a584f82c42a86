// Goal: info and verify tell of every fact and every fault, in a shape that does not change.
// Method: a small complete model, and the same with one thing wrong each; tables by their lines.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/worker/inspect/made_model.h"
#include "tests/unit/worker/prepare/model_file.h"
#include "worker/inspect/info.h"
#include "worker/inspect/keys_json.h"
#include "worker/inspect/text_table.h"
#include "worker/inspect/verify.h"

namespace bitnetd::worker {
namespace {

using Json = nlohmann::ordered_json;
using test::ModelFile;

Json verified(const std::vector<std::byte>& bytes, const PrepareOptions& options = {}) {
    return verify(test::as_files(bytes), options, "the model", [](auto, auto, auto) {});
}

// Errors, or all findings of that severity, as "subject: message".
std::vector<std::string> findings(const Json& report, const std::string& severity) {
    std::vector<std::string> out;
    for (const Json& finding : report["findings"]) {
        if (finding["severity"] == severity) {
            out.push_back(finding["subject"].get<std::string>() + ": " +
                          finding["message"].get<std::string>());
        }
    }
    return out;
}

std::string only_error(const ModelFile& file) {
    const Json report = verified(file.bytes());
    EXPECT_FALSE(report["ok"].get<bool>());
    const auto errors = findings(report, "error");
    return errors.size() == 1 ? errors[0] : std::to_string(errors.size()) + " errors";
}

TEST(Verify, AGoodModelHasNoFindings) {
    const ModelFile file;
    const Json report = verified(file.bytes());
    EXPECT_TRUE(report["ok"].get<bool>()) << report["findings"].dump();
    EXPECT_EQ(report["findings"], Json::array());
    EXPECT_EQ(report["file"], "the model");
    EXPECT_EQ(report["format"], "gguf");
    EXPECT_EQ(report["architecture"], "bitnet-b1.58");
    EXPECT_EQ(report["bytes"], file.bytes().size());
    EXPECT_EQ(report["tensors"].size(), file.tensors.size());
}

TEST(Verify, TheShapeOfTheReportIsStable) {
    const auto keys = [](const Json& object) {
        std::vector<std::string> out;
        for (const auto& [key, value] : object.items())
            out.push_back(key);
        return out;
    };
    using Keys = std::vector<std::string>;
    const Json report = verified(ModelFile().bytes());
    EXPECT_EQ(keys(report), (Keys{"file", "ok", "format", "architecture", "bytes", "tensors",
                                  "accuracy", "findings"}));
    EXPECT_EQ(keys(report["accuracy"]), (Keys{"table", "types", "self_test"}));
    EXPECT_EQ(keys(report["accuracy"]["types"][0]),
              (Keys{"type", "ratio", "minimum", "tensor", "row"}));
    EXPECT_EQ(keys(report["accuracy"]["self_test"]), (Keys{"compared", "ok"}));
    for (const Json& tensor : report["tensors"]) {
        EXPECT_EQ(keys(tensor), (Keys{"name", "type", "shape", "bytes", "statistics"}));
        const bool ternary = tensor["type"] == "I2_S";
        EXPECT_EQ(keys(tensor["statistics"]),
                  ternary
                      ? (Keys{"kind", "scales", "scale_min", "scale_max", "minus", "zero", "plus"})
                      : (Keys{"kind", "min", "max", "mean", "deviation"}));
    }
}

TEST(Verify, MeasuresEveryRow) {
    const Json accuracy = verified(ModelFile().bytes())["accuracy"];
    EXPECT_EQ(accuracy["table"], "scalar");
    ASSERT_EQ(accuracy["types"].size(), 2u);
    EXPECT_EQ(accuracy["types"][0]["type"], "F32");
    EXPECT_EQ(accuracy["types"][1]["type"], "I2_S");
    EXPECT_EQ(accuracy["types"][1]["minimum"], 0.99);
    EXPECT_GT(accuracy["types"][1]["ratio"], 0.999);
    EXPECT_LT(accuracy["types"][1]["ratio"], 1);
    EXPECT_TRUE(accuracy["self_test"]["ok"].get<bool>());
}

TEST(Verify, AMatrixBelowItsMinimumIsAnError) {
    PrepareOptions options;
    options.accuracy.minima = quant::AccuracyMinima::parse("I2_S=1").value();
    const Json report = verified(ModelFile().bytes(), options);
    EXPECT_FALSE(report["ok"].get<bool>());
    const auto errors = findings(report, "error");
    ASSERT_EQ(errors.size(), 7 * ModelFile::kLayers);
    EXPECT_EQ(errors[0].find("tensor 'blk.0.attn_q.weight': accuracy ratio 0.99"), 0u) << errors[0];
    EXPECT_NE(errors[0].find("expected 1 or more for I2_S"), std::string::npos) << errors[0];
    EXPECT_NE(verify_text(report).find("refused: "), std::string::npos);
}

TEST(Verify, AModelThatFailsTheSelfTestIsRefused) {
    ModelFile file;
    file.tensors["output_norm.weight"] =
        test::f32_tensor({ModelFile::kHidden}, std::vector<float>(ModelFile::kHidden, 3e38f));
    const Json report = verified(file.bytes());
    EXPECT_FALSE(report["accuracy"]["self_test"]["ok"].get<bool>());
    const auto errors = findings(report, "error");
    ASSERT_EQ(errors.size(), 1u);
    EXPECT_EQ(errors[0].find("self-test: on "), 0u) << errors[0];
}

TEST(Verify, NamesWhatIsWrong) {
    ModelFile no_vocabulary;
    no_vocabulary.tokens.clear();
    EXPECT_EQ(only_error(no_vocabulary), "vocabulary: key tokenizer.ggml.tokens is missing");

    ModelFile missing;
    missing.tensors.erase("blk.1.ffn_up.weight");
    EXPECT_NE(only_error(missing).find("blk.1.ffn_up.weight is missing"), std::string::npos);

    ModelFile bad_key;
    bad_key.integers["block_count"] = 0;
    EXPECT_NE(only_error(bad_key).find("keys: key bitnet-b1.58.block_count is 0"),
              std::string::npos);

    ModelFile unknown;
    unknown.architecture = "lama";
    EXPECT_NE(only_error(unknown).find("architecture 'lama' is not supported"), std::string::npos);
}

TEST(Verify, GoesOnAfterAnError) {
    ModelFile file;
    // Code 3 in two matrices, and a NaN in a vector.
    file.tensors["blk.0.attn_q.weight"].data[5] = std::byte{0xFF};
    file.tensors["blk.1.ffn_down.weight"].data[0] = std::byte{0xFF};
    std::fill_n(file.tensors["output_norm.weight"].data.begin(), 4, std::byte{0xFF});
    const Json report = verified(file.bytes());
    const auto errors = findings(report, "error");
    ASSERT_EQ(errors.size(), 3u);
    for (const char* name :
         {"blk.0.attn_q.weight", "blk.1.ffn_down.weight", "output_norm.weight"}) {
        EXPECT_TRUE(std::any_of(errors.begin(), errors.end(), [&](const std::string& error) {
            return error.starts_with("tensor '" + std::string(name) + "': ");
        })) << name;
    }
    size_t undecoded = 0;
    for (const Json& tensor : report["tensors"])
        undecoded += tensor["statistics"].is_null() ? 1 : 0;
    EXPECT_EQ(undecoded, 3u);
    EXPECT_EQ(report["tensors"].size(), file.tensors.size());
}

TEST(Verify, OddThingsAreWarnings) {
    ModelFile file;
    std::fill(file.tensors["blk.0.ffn_norm.weight"].data.begin(),
              file.tensors["blk.0.ffn_norm.weight"].data.end(), std::byte{0});
    const Json report = verified(file.bytes());
    EXPECT_TRUE(report["ok"].get<bool>());
    EXPECT_EQ(findings(report, "warning"),
              std::vector<std::string>{"tensor 'blk.0.ffn_norm.weight': every value is zero"});
}

TEST(Verify, AFileThatCannotBeReadIsReportedToo) {
    const Json report = verified(std::vector<std::byte>(100));
    EXPECT_FALSE(report["ok"].get<bool>());
    EXPECT_TRUE(report["architecture"].is_null());
    ASSERT_EQ(findings(report, "error").size(), 1u);
    EXPECT_TRUE(findings(report, "error")[0].starts_with("file: "));
    EXPECT_NE(verify_text(report).find("refused: 0 tensors"), std::string::npos);
}

TEST(Verify, FloatsInTernaryPlacesMustBeTernary) {
    ModelFile file;
    const auto& digits = file.digits["blk.0.attn_q.weight"];
    std::vector<float> values(digits.begin(), digits.end());
    file.tensors["blk.0.attn_q.weight"] = test::f32_tensor({128, 128}, values);
    EXPECT_TRUE(verified(file.bytes())["ok"].get<bool>());
    values[values.size() / 2] = 0.5f;
    file.tensors["blk.0.attn_q.weight"] = test::f32_tensor({128, 128}, values);
    EXPECT_NE(only_error(file).find("not a ternary matrix"), std::string::npos);
}

// As a load with the same settings would.
TEST(Verify, AndInfoGoByWhatTheOperatorSays) {
    ModelFile file;
    file.integers["pooling_type"] = 2;
    const auto input = test::open_bytes(file.bytes());
    ASSERT_TRUE(input.ok()) << input.error().message;
    EXPECT_NE(only_error(file).find("pooling_type is 2"), std::string::npos);
    EXPECT_FALSE(describe(**input, {}, {})["supported"].get<bool>());
    PrepareOptions options;
    options.overrides.pooling = shm::Pooling::kMean;
    EXPECT_TRUE(verified(file.bytes(), options)["ok"].get<bool>());
    EXPECT_TRUE(describe(**input, options.overrides, {})["supported"].get<bool>());
}

TEST(Info, TellsTheFacts) {
    ModelFile file;
    file.texts["general.name"] = "small \x1b[31m one";
    const auto input = test::open_bytes(file.bytes());
    ASSERT_TRUE(input.ok()) << input.error().message;
    const Json info = describe(**input, {}, {{"model.gguf", 1234}});
    EXPECT_TRUE(info["supported"].get<bool>()) << info["reasons"].dump();
    EXPECT_EQ(info["shape"]["layers"], ModelFile::kLayers);
    EXPECT_EQ(info["shape"]["kv_heads"], ModelFile::kKvHeads);
    EXPECT_EQ(info["vocabulary"]["tokens"], ModelFile::kVocab);
    EXPECT_EQ(info["vocabulary"]["bos"]["id"], 256);
    EXPECT_EQ(info["keys"]["tokenizer.ggml.tokens"]["count"], ModelFile::kVocab);
    EXPECT_EQ(info["files"], Json::parse(R"([{"name": "model.gguf", "bytes": 1234}])"));
    uint64_t parameters = 0;
    for (const Json& type : info["types"])
        parameters += type["parameters"].get<uint64_t>();
    EXPECT_EQ(info["parameters"], parameters);
    const std::string text = info_text(info);
    EXPECT_NE(text.find("name           small ?[31m one\n"), std::string::npos) << text;
    EXPECT_NE(text.find("served         yes\n"), std::string::npos);
}

TEST(Info, OutputIsAsciiWhateverTheFileHolds) {
    const std::string text = dump(Json{{"a", "\xc3\xa4\x9b\x1b"}}, -1);
    EXPECT_EQ(text, R"({"a":"\u00e4\ufffd\u001b"})");
}

TEST(TextTable, ColumnsAreAsWideAsTheirCells) {
    TextTable table("lr");
    table.add({"a", "1"});
    table.add({"long name", "1000"});
    EXPECT_EQ(table.text(2), "  a             1\n  long name  1000\n");
    EXPECT_EQ(TextTable("l").text(0), "");
}

TEST(TextTable, Numbers) {
    EXPECT_EQ(bytes_text(0), "0 B");
    EXPECT_EQ(bytes_text(2'332'736), "2.33 MB");
    EXPECT_EQ(bytes_text(999'600), "1 MB");
    EXPECT_EQ(count_text(999), "999");
    EXPECT_EQ(count_text(2'412'820'480), "2.41 B");
    EXPECT_EQ(number_text(10000), "10000");
    EXPECT_EQ(number_text(1e-5), "1e-05");
    EXPECT_EQ(number_text(-0.123456), "-0.1235");
}

}  // namespace
}  // namespace bitnetd::worker
