// Goal: a good file becomes a segment that obeys shm/abi/weights_abi.h and holds exactly the file's
// weights; every file that is not the model it claims to be is refused with the reason.
// Method: a small model made by the writer, checked weight by weight and then broken in one place
// at a time; the demo model in every type, which must pack to the same bytes; the corrupt files of
// tests/golden/hostile.
#include "worker/prepare/prepare.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <random>

#include "common/base/bytes.h"
#include "common/gguf/gguf_reader.h"
#include "common/text/vocabulary_image.h"
#include "tests/support/golden.h"
#include "tests/unit/worker/prepare/model_file.h"
#include "worker/kernels/ternary_pack.h"
#include "worker/model/aligned_array.h"
#include "worker/model/weights_view.h"

namespace bitnetd::worker {
namespace {

using shm::TensorEntry;
using shm::TensorPart;
using shm::WeightsHeader;
using test::ModelFile;

struct Packed {
    AlignedArray<std::byte> segment;
    std::vector<std::byte> vocabulary;
    shm::ModelFacts facts{};

    std::span<const std::byte> view() const { return {segment.data(), segment.size()}; }
    WeightsHeader header() const { return load<WeightsHeader>(segment.data()); }
    TensorEntry entry(uint32_t index) const {
        return load<TensorEntry>(segment.data() + sizeof(WeightsHeader) +
                                 index * sizeof(TensorEntry));
    }
    TensorEntry find(TensorPart part, uint32_t layer,
                     shm::TensorRole role = shm::TensorRole::kWeight) const {
        for (uint32_t i = 0; i < header().tensor_count; ++i) {
            const TensorEntry each = entry(i);
            if (each.part == part && each.layer == layer && each.role == role) return each;
        }
        throw std::runtime_error("no such part");
    }
};

AlignedArray<std::byte> zeroed(uint64_t bytes) {
    AlignedArray<std::byte> out(static_cast<size_t>(bytes));
    std::memset(out.data(), 0, out.size());
    return out;
}

std::vector<NamedSource> one_file(std::span<const std::byte> bytes) {
    std::vector<NamedSource> files;
    files.push_back({"model.gguf", std::make_unique<MemorySource>(bytes)});
    return files;
}

Result<Packed> prepare_bytes(std::span<const std::byte> file) {
    BITNETD_ASSIGN(const auto preparation, Preparation::open(one_file(file), {}));
    Packed out{zeroed(preparation.weights_bytes()), {}, {}};
    BITNETD_TRY(preparation.pack({out.segment.data(), out.segment.size()}, {}));
    out.vocabulary.assign(preparation.vocabulary().begin(), preparation.vocabulary().end());
    out.facts = preparation.facts(out.view());
    return out;
}

std::string refusal(const ModelFile& file) {
    const auto packed = prepare_bytes(file.bytes());
    return packed.ok() ? "" : packed.error().message;
}

// What weights_abi.h promises of every segment.
void expect_abi(const Packed& packed) {
    const WeightsHeader header = packed.header();
    EXPECT_EQ(header.magic, shm::kWeightsMagic);
    EXPECT_EQ(header.abi_version, shm::kWeightsAbiVersion);
    EXPECT_EQ(header.header_bytes, sizeof header);
    EXPECT_EQ(header.segment_bytes, packed.segment.size());
    EXPECT_EQ(header.heads % header.kv_heads, 0u);
    EXPECT_EQ(header.rope_dims % 2, 0u);
    EXPECT_LE(header.rope_dims, header.head_dim);
    uint64_t end = sizeof header + header.tensor_count * sizeof(TensorEntry);
    for (uint32_t i = 0; i < header.tensor_count; ++i) {
        const TensorEntry entry = packed.entry(i);
        EXPECT_EQ(entry.offset % shm::kTensorAlignment, 0u);
        EXPECT_GE(entry.offset, end);
        end = entry.offset + entry.bytes;
        EXPECT_TRUE(std::isfinite(entry.scale));
    }
    EXPECT_LE(end, header.segment_bytes);
    const auto view = open_weights(packed.view());
    EXPECT_TRUE(view.ok()) << view.error().message;
}

std::vector<int8_t> unpack(const Packed& packed, const TensorEntry& entry) {
    std::vector<int8_t> out(size_t{entry.rows} * entry.columns);
    const auto* rows = reinterpret_cast<const uint8_t*>(packed.segment.data() + entry.offset);
    for (uint32_t row = 0; row < entry.rows; ++row) {
        kernels::unpack_ternary_row(rows + row * (entry.bytes / entry.rows), entry.columns,
                                    out.data() + size_t{row} * entry.columns);
    }
    return out;
}

TEST(Prepare, PacksEveryWeightOfASmallModel) {
    const ModelFile file;
    const auto packed = prepare_bytes(file.bytes());
    ASSERT_TRUE(packed.ok()) << packed.error().message;
    expect_abi(*packed);
    const WeightsHeader header = packed->header();
    EXPECT_EQ(header.layers, ModelFile::kLayers);
    EXPECT_EQ(header.tensor_count, 3 + 11 * ModelFile::kLayers);
    EXPECT_EQ(header.end_id_count, 1u);
    EXPECT_EQ(header.end_ids[0], 257u);
    const TensorEntry gate = packed->find(TensorPart::kFfnGate, 1);
    EXPECT_EQ(gate.scale, file.scale);
    EXPECT_EQ(unpack(*packed, gate), file.digits.at("blk.1.ffn_gate.weight"));
    const TensorEntry down = packed->find(TensorPart::kFfnDown, 0);
    EXPECT_EQ(unpack(*packed, down), file.digits.at("blk.0.ffn_down.weight"));
    const TensorEntry norm = packed->find(TensorPart::kAttnSubNorm, 0);
    const auto& source = file.tensors.at("blk.0.attn_sub_norm.weight").data;
    EXPECT_EQ(std::memcmp(packed->segment.data() + norm.offset, source.data(), source.size()), 0);
}

TEST(Prepare, TellsTheFacts) {
    const ModelFile file;
    const auto packed = prepare_bytes(file.bytes());
    ASSERT_TRUE(packed.ok()) << packed.error().message;
    EXPECT_STREQ(packed->facts.architecture, "bitnet-b1.58");
    EXPECT_STREQ(packed->facts.quantization, "I2_S");
    EXPECT_STREQ(packed->facts.name, "tiny");
    EXPECT_EQ(std::strlen(packed->facts.digest), 32u);
    EXPECT_EQ(packed->facts.vocab, ModelFile::kVocab);
    EXPECT_EQ(packed->facts.weights_bytes, packed->segment.size());
    uint64_t elements = 0;
    for (const auto& [name, tensor] : file.tensors) {
        uint64_t product = 1;
        for (const uint64_t dim : tensor.dims)
            product *= dim;
        elements += product;
    }
    EXPECT_EQ(packed->facts.parameter_count, elements);
    const auto vocabulary = text::VocabularyView::open(packed->vocabulary);
    ASSERT_TRUE(vocabulary.ok()) << vocabulary.error().message;
    EXPECT_EQ(vocabulary->token_count(), ModelFile::kVocab);
}

TEST(Prepare, TheDigestFollowsTheFile) {
    const ModelFile file;
    ModelFile renamed;
    renamed.texts["general.name"] = "other";
    const auto first = prepare_bytes(file.bytes());
    const auto again = prepare_bytes(file.bytes());
    const auto other = prepare_bytes(renamed.bytes());
    ASSERT_TRUE(first.ok() && again.ok() && other.ok());
    EXPECT_STREQ(first->facts.digest, again->facts.digest);
    EXPECT_STRNE(first->facts.digest, other->facts.digest);
}

TEST(Prepare, TakesBiasesAndItsOwnOutputMatrix) {
    ModelFile file;
    file.tensors["blk.0.attn_q.bias"] =
        test::f32_tensor({ModelFile::kHidden}, std::vector<float>(ModelFile::kHidden, 2.0f));
    file.tensors["output.weight"] = file.tensors["token_embd.weight"];
    const auto packed = prepare_bytes(file.bytes());
    ASSERT_TRUE(packed.ok()) << packed.error().message;
    expect_abi(*packed);
    const TensorEntry bias = packed->find(TensorPart::kAttnQ, 0, shm::TensorRole::kBias);
    EXPECT_EQ(load<float>(packed->segment.data() + bias.offset), 2.0f);
    EXPECT_EQ(packed->find(TensorPart::kOutput, shm::kNoLayer).rows, ModelFile::kVocab);
}

TEST(Prepare, TheFirstNameOfTheArchitectureIgnoresItsOutputCopy) {
    ModelFile file;
    file.architecture = "bitnet-25";
    file.tensors["output.weight"] = file.tensors["token_embd.weight"];
    const auto packed = prepare_bytes(file.bytes());
    ASSERT_TRUE(packed.ok()) << packed.error().message;
    EXPECT_EQ(packed->header().tensor_count, 3 + 11 * ModelFile::kLayers);
    EXPECT_STREQ(packed->facts.architecture, "bitnet-25");
}

TEST(Prepare, RotatesByRopeFactorsWhenTheFileHasThem) {
    ModelFile file;
    const auto plain = prepare_bytes(file.bytes());
    file.tensors["rope_freqs.weight"] = test::f32_tensor(
        {ModelFile::kHeadDim / 2}, std::vector<float>(ModelFile::kHeadDim / 2, 2.0f));
    const auto slowed = prepare_bytes(file.bytes());
    ASSERT_TRUE(plain.ok() && slowed.ok()) << slowed.error().message;
    const auto row = [](const Packed& packed, uint32_t position) {
        const auto* table =
            packed.segment.data() + packed.find(TensorPart::kRopeCosSin, shm::kNoLayer).offset;
        std::vector<float> out(ModelFile::kHeadDim);
        std::memcpy(out.data(), table + position * out.size() * sizeof(float),
                    out.size() * sizeof(float));
        return out;
    };
    EXPECT_EQ(row(*slowed, 10), row(*plain, 5));
    EXPECT_NE(row(*slowed, 10), row(*plain, 10));
}

TEST(Prepare, ReportsEveryPercentOnce) {
    const auto bytes = ModelFile().bytes();
    const auto preparation = Preparation::open(one_file(bytes), {});
    ASSERT_TRUE(preparation.ok());
    const auto segment = zeroed(preparation->weights_bytes());
    uint32_t last = 0;
    const auto sink = [&last](uint32_t percent) {
        EXPECT_GT(percent, last);
        last = percent;
    };
    ASSERT_TRUE(preparation->pack({segment.data(), segment.size()}, sink).ok());
    EXPECT_GE(last, 90u);
    EXPECT_LE(last, 100u);
}

struct Broken {
    const char* what;
    const char* expected;  // part of the message
    std::function<void(ModelFile&)> change;
};

void expect_refusals(const std::vector<Broken>& cases) {
    for (const Broken& broken : cases) {
        ModelFile file;
        broken.change(file);
        const std::string message = refusal(file);
        EXPECT_NE(message, "") << broken.what << " was accepted";
        EXPECT_NE(message.find(broken.expected), std::string::npos)
            << broken.what << ": " << message;
    }
}

TEST(Prepare, RefusesKeysThatCannotBe) {
    expect_refusals({
        {"another architecture", "architecture 'lama'", [](auto& f) { f.architecture = "lama"; }},
        {"an adapter", "general.type", [](auto& f) { f.texts["general.type"] = "adapter"; }},
        {"no layers", "block_count", [](auto& f) { f.integers["block_count"] = 0; }},
        {"too many layers", "block_count", [](auto& f) { f.integers["block_count"] = 513; }},
        {"no context", "context_length", [](auto& f) { f.integers.erase("context_length"); }},
        {"a context without end", "context_length",
         [](auto& f) { f.integers["context_length"] = 1u << 31; }},
        {"no kv heads", "head_count_kv",
         [](auto& f) { f.integers["attention.head_count_kv"] = 0; }},
        {"uneven kv heads", "no multiple",
         [](auto& f) { f.integers["attention.head_count_kv"] = 3; }},
        {"no heads", "head_count", [](auto& f) { f.integers["attention.head_count"] = 0; }},
        {"heads that do not divide", "key_length",
         [](auto& f) {
             f.integers["attention.head_count"] = 3;
             f.integers["attention.head_count_kv"] = 3;
         }},
        {"odd rotation", "even", [](auto& f) { f.integers["rope.dimension_count"] = 31; }},
        {"rotation beyond the head", "even",
         [](auto& f) { f.integers["rope.dimension_count"] = 34; }},
        {"a table too large", "rotary table",
         [](auto& f) {
             f.integers["context_length"] = 1u << 20;
             f.integers["attention.key_length"] = 512;
             f.integers["rope.dimension_count"] = 512;
         }},
        {"unequal heads", "heads of", [](auto& f) { f.integers["attention.value_length"] = 16; }},
        {"no eps", "epsilon", [](auto& f) { f.numbers.erase("attention.layer_norm_rms_epsilon"); }},
        {"a negative eps", "epsilon",
         [](auto& f) { f.numbers["attention.layer_norm_rms_epsilon"] = -1; }},
        {"a NaN base", "not finite", [](auto& f) { f.numbers["rope.freq_base"] = std::nanf(""); }},
        {"longrope", "rope.scaling.type",
         [](auto& f) { f.texts["bitnet-b1.58.rope.scaling.type"] = "longrope"; }},
        {"a pooling that is not done", "pooling_type",
         [](auto& f) { f.integers["pooling_type"] = 2; }},
        {"another kind of pooling", "pooling_type",
         [](auto& f) { f.integers["pooling_type"] = 4; }},
        {"experts", "expert_count", [](auto& f) { f.integers["expert_count"] = 8; }},
        {"a window", "sliding_window",
         [](auto& f) { f.integers["attention.sliding_window"] = 63; }},
        {"another vocab size", "vocab_size", [](auto& f) { f.integers["vocab_size"] = 300; }},
    });
}

TEST(Prepare, RefusesTensorsThatDoNotFit) {
    const auto code_3 = [](ModelFile& f) {
        f.tensors["blk.0.ffn_up.weight"].data[7] |= std::byte{3};
    };
    const auto nan_scale = [](ModelFile& f) {
        auto& data = f.tensors["blk.0.ffn_down.weight"].data;
        std::memset(data.data() + data.size() - 32, 0xFF, 4);
    };
    const auto nan_norm = [](ModelFile& f) {
        std::memset(f.tensors["blk.1.ffn_norm.weight"].data.data() + 8, 0xFF, 4);
    };
    expect_refusals({
        {"a missing tensor", "blk.0.ffn_up.weight is missing",
         [](auto& f) { f.tensors.erase("blk.0.ffn_up.weight"); }},
        {"an unknown tensor", "blk.0.attn_gate.weight",
         [](auto& f) { f.tensors["blk.0.attn_gate.weight"] = f.tensors["blk.0.attn_q.weight"]; }},
        {"a layer too many", "blk.2.attn_norm.weight",
         [](auto& f) {
             f.tensors["blk.2.attn_norm.weight"] = f.tensors["blk.1.attn_norm.weight"];
         }},
        {"a bias that is not applied", "blk.0.ffn_up.bias",
         [](auto& f) { f.tensors["blk.0.ffn_up.bias"] = f.tensors["blk.0.ffn_sub_norm.weight"]; }},
        {"a transposed matrix", "the model's keys say",
         [](auto& f) {
             std::swap(f.tensors["blk.0.ffn_up.weight"].dims[0],
                       f.tensors["blk.0.ffn_up.weight"].dims[1]);
         }},
        {"more embeddings than tokens", "token_embd.weight", [](auto& f) { f.tokens.pop_back(); }},
        {"a matrix of I8", "has type",
         [](auto& f) {
             f.tensors["blk.0.ffn_up.weight"] = {
                 {128, 256}, quant::Type::kQ8_0, std::vector<std::byte>(256 * 4 * 34)};
         }},
        {"code 3", "blk.0.ffn_up.weight': row 0, column", code_3},
        {"a NaN scale", "blk.0.ffn_down.weight': its scale", nan_scale},
        {"a NaN norm", "blk.1.ffn_norm.weight': row 0, column 2", nan_norm},
        {"no tokens", "tokenizer.ggml.tokens", [](auto& f) { f.tokens.clear(); }},
    });
}

TEST(Prepare, RefusesEveryHostileFileAndLoadsTheOddOnes) {
    for (const auto& entry : tests::read_json(tests::golden_path("hostile/index.json"))) {
        const auto name = entry["file"].get<std::string>();
        const auto packed = prepare_bytes(tests::read_bytes(tests::golden_path("hostile/" + name)));
        EXPECT_EQ(packed.ok(), entry["must"] == "load")
            << name << ": " << (packed.ok() ? "loaded" : packed.error().message);
    }
}

// Most mutations hit the keys and tensor infos, some the tensors.
std::vector<std::byte> mutated(std::vector<std::byte> bytes, uint64_t head_bytes,
                               std::mt19937_64& random) {
    for (uint64_t changes = 1 + random() % 3; changes > 0; --changes) {
        const uint64_t range = random() % 4 == 0 ? bytes.size() : head_bytes;
        bytes[random() % range] = static_cast<std::byte>(random());
    }
    return bytes;
}

TEST(Prepare, SurvivesRandomMutations) {
    const uint64_t seed = std::random_device{}();
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    std::mt19937_64 random(seed);
    const auto good = ModelFile().bytes();
    MemorySource source(good);
    const uint64_t head_bytes = gguf::read(source)->data_start;
    size_t loaded = 0;
    for (int round = 0; round < 300; ++round) {
        const auto packed = prepare_bytes(mutated(good, head_bytes, random));
        if (!packed.ok()) {
            EXPECT_FALSE(packed.error().message.empty());
            continue;
        }
        expect_abi(*packed);
        ++loaded;
    }
    EXPECT_GT(loaded, 0u);  // most of the head is token texts, where a change is harmless
}

// All of the segment behind the header: directory and tensors.
std::vector<std::byte> contents(const Packed& packed) {
    const auto view = packed.view().subspan(sizeof(WeightsHeader));
    return {view.begin(), view.end()};
}

TEST(Prepare, PacksTheDemoModelToTheSameBytesFromEveryType) {
    const std::string stem = "bitnet-tiny-stories-5m-";
    const auto i2_s =
        prepare_bytes(tests::read_bytes(tests::golden_path("demo-model/" + stem + "i2_s.gguf")));
    ASSERT_TRUE(i2_s.ok()) << i2_s.error().message;
    expect_abi(*i2_s);
    EXPECT_STREQ(i2_s->facts.quantization, "I2_S");
    EXPECT_EQ(i2_s->header().end_id_count, 2u);
    std::vector<std::filesystem::path> others{
        tests::golden_path("demo-model/" + stem + "tq2_0.gguf")};
    for (const char* type : {"tq1_0.gguf", "f16.gguf"}) {
        const auto path = tests::large_golden_path("../demo-model/" + stem + type);
        if (std::filesystem::exists(path)) others.push_back(path);
    }
    for (const auto& path : others) {
        const auto other = prepare_bytes(tests::read_bytes(path));
        ASSERT_TRUE(other.ok()) << path << ": " << other.error().message;
        EXPECT_TRUE(contents(*i2_s) == contents(*other)) << path;
        EXPECT_STRNE(i2_s->facts.digest, other->facts.digest);
    }
}

}  // namespace
}  // namespace bitnetd::worker
