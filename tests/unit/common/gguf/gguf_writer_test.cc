// Goal: what the writer writes, the reader reads back: keys of every type, tensors of every type
// that files have, at any alignment, all at once or as a stream.
// Method: each written once and read; keys that were read are written again and must be the same
// bytes.
#include "common/gguf/gguf_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <type_traits>
#include <variant>

#include "common/gguf/gguf_reader.h"
#include "common/quant/type_ids.h"
#include "tests/support/golden.h"

namespace bitnetd::gguf {
namespace {

using Bytes = std::vector<std::byte>;

File read_back(const Bytes& bytes) {
    MemorySource source(bytes);
    auto file = read(source);
    if (!file.ok()) throw std::runtime_error(file.error().message);
    return std::move(*file);
}

template <typename T>
Value scalar(ValueType type, T content) {
    return {type, content};
}

Array array_of(ValueType element, uint64_t count, size_t bytes_each) {
    Array array;
    array.element = element;
    array.count = count;
    for (size_t i = 0; i < count * bytes_each; ++i)
        array.scalars.push_back(static_cast<std::byte>(i % 2));  // good for bool too
    return array;
}

// A value of every type, and an array of every element type.
Metadata every_value() {
    Metadata keys;
    const Value values[] = {
        scalar(ValueType::kU8, uint64_t{255}),
        scalar(ValueType::kI8, int64_t{-128}),
        scalar(ValueType::kU16, uint64_t{65'535}),
        scalar(ValueType::kI16, int64_t{-32'768}),
        scalar(ValueType::kU32, uint64_t{UINT32_MAX}),
        scalar(ValueType::kI32, int64_t{INT32_MIN}),
        scalar(ValueType::kF32, static_cast<double>(0.1f)),
        scalar(ValueType::kBool, true),
        scalar(ValueType::kString, std::string("text \0 with NUL", 15)),
        scalar(ValueType::kU64, uint64_t{UINT64_MAX}),
        scalar(ValueType::kI64, int64_t{INT64_MIN}),
        scalar(ValueType::kF64, -1e300),
    };
    constexpr size_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    for (const Value& value : values) {
        const auto id = static_cast<size_t>(value.type);
        keys.insert("scalar." + std::to_string(id), value);
        Array array = array_of(value.type, 3, kBytes[id]);
        if (value.type == ValueType::kString) array.strings = {"a", "", "c"};
        keys.insert("array." + std::to_string(id), {ValueType::kArray, array});
    }
    keys.insert("empty", {ValueType::kArray, array_of(ValueType::kF32, 0, 4)});
    return keys;
}

Bytes write(const Metadata& keys) {
    Writer writer;
    for (const auto& [key, value] : keys.all())
        writer.add(key, value);
    return writer.head();
}

bool same(const Array& a, const Array& b) {
    return a.element == b.element && a.count == b.count && a.scalars == b.scalars &&
           a.strings == b.strings;
}

bool same(const Value& a, const Value& b) {
    if (a.type != b.type || a.content.index() != b.content.index()) return false;
    return std::visit(
        [&](const auto& content) {
            const auto& other = std::get<std::decay_t<decltype(content)>>(b.content);
            if constexpr (std::is_same_v<std::decay_t<decltype(content)>, Array>) {
                return same(content, other);
            } else {
                return content == other;
            }
        },
        a.content);
}

TEST(GgufWriter, KeysOfEveryTypeComeBack) {
    const Metadata keys = every_value();
    const Bytes once = write(keys);
    const File file = read_back(once);
    EXPECT_EQ(file.metadata.size(), keys.size());
    for (const auto& [key, value] : keys.all()) {
        const Value* found = file.metadata.find(key);
        ASSERT_NE(found, nullptr) << key;
        EXPECT_TRUE(same(*found, value)) << key;
    }
    EXPECT_TRUE(write(file.metadata) == once);
}

TEST(GgufWriter, KeysOfTheDemoModelComeBack) {
    const auto model =
        tests::read_bytes(tests::golden_path("demo-model/bitnet-tiny-stories-5m-i2_s.gguf"));
    const File file = read_back(model);
    const Bytes once = write(file.metadata);
    const File again = read_back(once);
    EXPECT_EQ(again.metadata.size(), file.metadata.size());
    EXPECT_TRUE(write(again.metadata) == once);
    const auto tokens = file.metadata.texts("tokenizer.ggml.tokens")->value();
    const auto tokens_again = again.metadata.texts("tokenizer.ggml.tokens")->value();
    EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), tokens_again.begin(), tokens_again.end()));
}

TEST(GgufWriter, TensorsOfEveryTypeComeBack) {
    Writer writer;
    std::vector<Bytes> data;
    std::vector<quant::Type> types;
    const quant::Shape shape{32, 512};  // fits the blocks and groups of all types
    for (size_t i = 0; i <= static_cast<size_t>(quant::Type::kNVFP4); ++i) {
        const auto type = static_cast<quant::Type>(i);
        const bool readable = type != quant::Type::kMXFP4 && type != quant::Type::kNVFP4;
        if (!quant::id_of(type) || !readable) continue;
        writer.add_tensor(quant::name_of(type), std::vector<uint64_t>{shape.columns, shape.rows},
                          type);
        data.emplace_back(quant::matrix_bytes(type, shape).value(), static_cast<std::byte>(i + 1));
        types.push_back(type);
    }
    const Bytes bytes = writer.file(data);
    const File file = read_back(bytes);
    ASSERT_EQ(file.tensors.size(), types.size());
    EXPECT_EQ(types.size(), 28u);
    for (size_t i = 0; i < types.size(); ++i) {
        SCOPED_TRACE(file.tensors[i].name);
        EXPECT_EQ(file.tensors[i].type, types[i]);
        EXPECT_EQ(file.tensors[i].bytes, data[i].size());
        const auto stored = std::span(bytes).subspan(file.data_start + file.tensors[i].offset);
        EXPECT_TRUE(std::equal(data[i].begin(), data[i].end(), stored.begin()));
    }
}

TEST(GgufWriter, AStreamIsTheSameFile) {
    for (const uint64_t alignment : {1u, 32u, 64u, 4096u}) {
        Writer writer(alignment);
        writer.add_text("general.architecture", "test");
        std::vector<Bytes> data;
        for (const uint64_t count : {3u, 8u, 1u}) {
            writer.add_tensor("t" + std::to_string(count), std::vector<uint64_t>{count},
                              quant::Type::kF32);
            data.emplace_back(count * sizeof(float), std::byte{7});
        }
        Bytes stream = writer.head();
        for (const Bytes& tensor : data) {
            const size_t begin = stream.size();
            stream.insert(stream.end(), tensor.begin(), tensor.end());
            stream.resize(begin + writer.padded_bytes(tensor.size()));
        }
        EXPECT_TRUE(stream == writer.file(data)) << alignment;
        EXPECT_EQ(read_back(stream).alignment, alignment);
    }
}

}  // namespace
}  // namespace bitnetd::gguf
