// Goal: the reader takes every good file and refuses every bad one with a reason, whatever the
// bytes.
// Method: the worked example of the format byte by byte; one wrong header per rule; the example cut
// at every byte; random mutations under a printed seed, of which whatever is accepted must lie
// within the file.
#include "common/safetensors/safetensors_reader.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

namespace bitnetd::safetensors {
namespace {

using Bytes = std::vector<std::byte>;

Bytes file_of(const std::string& header, size_t data_bytes) {
    Bytes out(8 + header.size() + data_bytes);
    const uint64_t length = header.size();
    std::memcpy(out.data(), &length, sizeof length);
    std::memcpy(out.data() + 8, header.data(), header.size());
    return out;
}

Result<File> read_bytes(std::span<const std::byte> bytes) {
    MemorySource source(bytes);
    return read(source);
}

std::string refusal(const std::string& header, size_t data_bytes) {
    const auto file = read_bytes(file_of(header, data_bytes));
    return file.ok() ? "" : file.error().message;
}

const std::string kExample = R"({"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}})";

std::string entry(const std::string& name, const std::string& fields) {
    return "{\"" + name + "\":{" + fields + "}}";
}

TEST(SafetensorsReader, WorkedExample) {
    const Bytes bytes = file_of(kExample, 16);
    ASSERT_EQ(bytes.size(), 84u);
    const auto file = read_bytes(bytes);
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->data_start, 68u);
    EXPECT_EQ(file->data_bytes, 16u);
    const TensorInfo* test = file->find_tensor("test");
    ASSERT_NE(test, nullptr);
    EXPECT_EQ(test->type, DType::kI32);
    EXPECT_EQ(test->shape, (std::vector<uint64_t>{2, 2}));
    EXPECT_EQ(test->bytes(), 16u);
    EXPECT_EQ(file->find_tensor("tes"), nullptr);
    EXPECT_EQ(refusal(kExample + "    ", 16), "");  // a new writer's spaces
}

TEST(SafetensorsReader, OrderOfTheHeaderIsNotThatOfTheData) {
    const auto file = read_bytes(file_of(
        R"({"b":{"data_offsets":[3,7],"dtype":"F32","shape":[]},"__metadata__":{"format":"pt"},)"
        R"("none":{"dtype":"BF16","shape":[0,5],"data_offsets":[3,3]},)"
        R"("a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})",
        7));
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->metadata.at("format"), "pt");
    ASSERT_EQ(file->tensors.size(), 3u);
    EXPECT_EQ(file->tensors[0].name, "a");
    EXPECT_EQ(file->tensors[1].name, "none");
    EXPECT_EQ(file->find_tensor("b")->begin, 3u);  // not aligned: old writers do that
    EXPECT_TRUE(file->find_tensor("b")->shape.empty());
}

TEST(SafetensorsReader, NoTensorsAreNoData) {
    EXPECT_EQ(refusal("{}", 0), "");
    EXPECT_EQ(refusal("{}", 1), "the tensors end at byte 0 of the data, but the file has 1");
}

TEST(SafetensorsReader, LengthOfTheHeader) {
    const auto length = [](uint64_t value) {
        Bytes bytes = file_of(kExample, 16);
        std::memcpy(bytes.data(), &value, sizeof value);
        return read_bytes(bytes).error().message;
    };
    EXPECT_EQ(length(77), "the header's length is 77; there can be at most 76 bytes");
    EXPECT_EQ(length(UINT64_MAX),
              "the header's length is 18446744073709551615; there can be at most 76 bytes");
    EXPECT_EQ(length(UINT64_MAX - 7),
              "the header's length is 18446744073709551608; there can be at most 76 bytes");
    EXPECT_EQ(length(0), "the header does not begin with '{'");
    EXPECT_EQ(read_bytes(Bytes(7)).error().message, "a file of 7 bytes is no safetensors");
}

TEST(SafetensorsReader, HeaderMustBeOneStrictObject) {
    EXPECT_EQ(refusal(" {}", 0), "the header does not begin with '{'");
    EXPECT_EQ(refusal("[]", 0), "the header does not begin with '{'");
    EXPECT_EQ(refusal("{}\n", 0), "the header does not end in '}' and spaces");
    EXPECT_EQ(refusal("{}{}", 0), "the header is not JSON at byte 3");
    EXPECT_EQ(refusal(R"({"a":})", 0), "the header is not JSON at byte 6");
    EXPECT_EQ(refusal(std::string("{}\0}", 4), 0), "the header holds a NUL");
    EXPECT_EQ(refusal("{\"\xff\":1}", 0), "the header is not JSON at byte 3");
    EXPECT_EQ(refusal(R"({"a":[[[[]]]]})" + std::string(), 0),
              "tensor 'a' has an array in a wrong place");
    EXPECT_EQ(refusal(R"({"a":{"dtype":{}}})", 0), "tensor 'a' has an object in a wrong place");
    EXPECT_EQ(refusal(R"({"__metadata__":{"a":{}}})", 0),
              "__metadata__ has an object in a wrong place");
    EXPECT_EQ(refusal(R"({"__metadata__":{"a":1}})", 0),
              "__metadata__ has a number in a wrong place");
    EXPECT_EQ(refusal(R"({"__metadata__":"a"})", 0), "__metadata__ has a string in a wrong place");
    EXPECT_EQ(refusal(R"({"a":null})", 0), "tensor 'a' has null in a wrong place");
}

TEST(SafetensorsReader, NothingIsThereTwice) {
    const std::string tensor = R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
    EXPECT_EQ(refusal(R"({"a":)" + tensor + R"(,"a":)" + tensor + "}", 0),
              "tensor 'a' is there twice");
    EXPECT_EQ(refusal(R"({"__metadata__":{},"__metadata__":{}})", 0),
              "__metadata__ is there twice");
    EXPECT_EQ(refusal(R"({"__metadata__":{"a":"","a":""}})", 0), "__metadata__ repeats a key 'a'");
    EXPECT_EQ(refusal(entry("a", R"("dtype":"U8","dtype":"U8")"), 0),
              "tensor 'a' repeats a key 'dtype'");
}

TEST(SafetensorsReader, EveryFieldIsThere) {
    EXPECT_EQ(refusal(entry("a", R"("dtype":"U8","shape":[1])"), 1),
              "tensor 'a' lacks a key 'data_offsets'");
    EXPECT_EQ(refusal(entry("a", R"("shape":[1],"data_offsets":[0,1])"), 1),
              "tensor 'a' lacks a key 'dtype'");
    EXPECT_EQ(refusal(entry("a", R"("dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1)"), 1),
              "tensor 'a' has an unknown key 'x'");
    EXPECT_EQ(refusal(entry("a", R"("dtype":"U8","shape":[1],"data_offsets":[0])"), 1),
              "tensor 'a' needs two numbers in 'data_offsets'");
    EXPECT_EQ(refusal(entry("a", R"("data_offsets":[0,1,2])"), 1),
              "tensor 'a' has more than 2 numbers");
    EXPECT_EQ(refusal(entry("a", R"("shape":[1,1,1,1,1,1,1,1,1])"), 1),
              "tensor 'a' has more than 8 numbers");
    EXPECT_EQ(refusal(entry("a", R"("dtype":["U8"])"), 1),
              "tensor 'a' has an array in a wrong place");
    EXPECT_EQ(refusal(entry("a", R"("shape":"1")"), 1), "tensor 'a' has a string in a wrong place");
}

TEST(SafetensorsReader, NumbersArePlainIntegers) {
    for (const char* number : {"1.0", "1e0", "18446744073709551616"}) {
        EXPECT_EQ(refusal(entry("a", "\"shape\":[" + std::string(number) + "]"), 1),
                  "tensor 'a' has a number that is not a plain 64-bit integer in a wrong place");
    }
    for (const char* number : {"-1", "-0"}) {
        EXPECT_EQ(refusal(entry("a", "\"shape\":[" + std::string(number) + "]"), 1),
                  "tensor 'a' has a signed number in a wrong place");
    }
}

TEST(SafetensorsReader, DTypesAreKnown) {
    EXPECT_EQ(refusal(entry("a", R"("dtype":"F4","shape":[2],"data_offsets":[0,1])"), 1),
              "tensor 'a' has the dtype 'F4', which is not one that can be read");
    EXPECT_EQ(refusal(entry("a", R"("dtype":"f32","shape":[1],"data_offsets":[0,4])"), 4),
              "tensor 'a' has the dtype 'f32', which is not one that can be read");
    for (const auto& [name, bytes] :
         {std::pair{"BOOL", 1}, {"F8_E4M3", 1}, {"BF16", 2}, {"U32", 4}, {"C64", 8}}) {
        const std::string end = std::to_string(bytes);
        EXPECT_EQ(refusal(entry("a", "\"dtype\":\"" + std::string(name) +
                                         "\",\"shape\":[1],\"data_offsets\":[0," + end + "]"),
                          static_cast<size_t>(bytes)),
                  "");
    }
}

TEST(SafetensorsReader, NamesAreBounded) {
    const std::string fields = R"("dtype":"U8","shape":[],"data_offsets":[0,1])";
    const std::string why = " has a name that is empty, too long or holds a NUL";
    EXPECT_EQ(refusal(entry("", fields), 1), "tensor ''" + why);
    EXPECT_EQ(refusal(entry("a\\u0000b", fields), 1), "tensor 'a?b'" + why);
    EXPECT_EQ(refusal(entry(std::string(512, 'n'), fields), 1), "");
    EXPECT_EQ(refusal(entry(std::string(513, 'n'), fields), 1),
              "tensor '" + std::string(64, 'n') + "...'" + why);
}

TEST(SafetensorsReader, TensorsAreBounded) {
    std::string header = "{";
    for (size_t i = 0; i <= kTensorsMax; ++i) {
        header += (i > 0 ? "," : "") + ("\"" + std::to_string(i)) +
                  R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
    }
    EXPECT_EQ(refusal(header + "}", 0), "the header has more than 65536 tensors");
}

TEST(SafetensorsReader, SizesAreTheShapes) {
    EXPECT_EQ(refusal(entry("a", R"("dtype":"F32","shape":[2,3],"data_offsets":[0,23])"), 23),
              "tensor 'a' of [2, 3] F32 takes 24 bytes, but has 23");
    EXPECT_EQ(refusal(entry("a", R"("dtype":"U8","shape":[1],"data_offsets":[1,0])"), 1),
              "tensor 'a' ends at byte 0, before it begins at 1");
    for (const char* shape : {"4294967296,4294967296", "18446744073709551615,2", "281474976710657",
                              "0,18446744073709551615,2"}) {
        const std::string why =
            refusal(entry("a", "\"dtype\":\"U8\",\"shape\":[" + std::string(shape) +
                                   "],\"data_offsets\":[0,0]"),
                    0);
        EXPECT_TRUE(why.ends_with(" is too large")) << why;
    }
}

TEST(SafetensorsReader, TensorsCoverTheData) {
    const auto two = [](const std::string& a, const std::string& b) {
        return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + a +
               R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}";
    };
    EXPECT_EQ(refusal(two("[0,4]", "[4,8]"), 8), "");
    EXPECT_EQ(refusal(two("[4,8]", "[0,4]"), 8), "");
    EXPECT_EQ(refusal(two("[0,4]", "[5,9]"), 9),
              "tensor 'b' begins at byte 5 of the data, but what is before it ends at 4");
    EXPECT_EQ(refusal(two("[0,4]", "[3,7]"), 7),
              "tensor 'b' begins at byte 3 of the data, but what is before it ends at 4");
    EXPECT_EQ(refusal(two("[0,4]", "[0,4]"), 4),
              "tensor 'b' begins at byte 0 of the data, but what is before it ends at 4");
    EXPECT_EQ(refusal(two("[1,5]", "[5,9]"), 9),
              "tensor 'a' begins at byte 1 of the data, but what is before it ends at 0");
    EXPECT_EQ(refusal(two("[0,4]", "[4,8]"), 9),
              "the tensors end at byte 8 of the data, but the file has 9");
    EXPECT_EQ(refusal(two("[0,4]", "[4,8]"), 7),
              "the tensors end at byte 8 of the data, but the file has 7");
}

TEST(SafetensorsReader, CutAnywhereIsRefused) {
    const Bytes whole = file_of(kExample, 16);
    for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
        const Bytes cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(bytes));
        const auto file = read_bytes(cut);
        ASSERT_FALSE(file.ok()) << bytes;
        ASSERT_FALSE(file.error().message.empty()) << bytes;
    }
}

TEST(SafetensorsReader, MutationsAreRefusedOrLieWithinTheFile) {
    const char* given = std::getenv("BITNETD_SEED");
    const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10)
                                           : (uint64_t{std::random_device{}()} << 16 | 1);
    std::printf("BITNETD_SEED=%llu\n", static_cast<unsigned long long>(seed));
    std::mt19937_64 random(seed);
    const Bytes good = file_of(
        R"({"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
        R"("b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}})",
        16);
    size_t accepted = 0;
    for (int i = 0; i < 20'000; ++i) {
        Bytes bytes = good;
        for (uint64_t edits = 1 + random() % 3; edits > 0; --edits)
            bytes[random() % bytes.size()] = static_cast<std::byte>(random());
        const auto file = read_bytes(bytes);
        if (!file.ok()) continue;
        ++accepted;
        for (const TensorInfo& tensor : file->tensors)
            ASSERT_LE(file->data_start + tensor.end, bytes.size());
    }
    EXPECT_GT(accepted, 0u);  // those that hit names or data alone
}

}  // namespace
}  // namespace bitnetd::safetensors
