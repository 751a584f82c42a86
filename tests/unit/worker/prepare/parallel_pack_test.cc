// Goal: a model is packed into the same bytes by any number of threads, and refused with the same
//       words.
// Method: random models with every measured mix of types, shapes that fill no piece evenly and
//       tensors of several pieces, packed by the calling thread and by pools; then one value broken
//       in two places of different pieces.
#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "common/gguf/gguf_reader.h"
#include "tests/support/bench/random_model.h"
#include "worker/model/aligned_array.h"
#include "worker/prepare/prepare.h"

namespace bitnetd::worker {
namespace {

using bench::ModelShape;

// 9 MB of table and 2.6 MB of each large linear layer, where those are ternary.
ModelShape made_odd(ModelShape shape) {
    shape.layers = 1;
    shape.hidden = 1280;
    shape.ffn = 8448;
    shape.heads = 20;
    shape.kv_heads = 5;
    shape.head_dim = 64;
    shape.vocab = 3571;
    shape.context = 333;
    return shape;
}

std::vector<std::byte> file_of(const ModelShape& shape) {
    const Fd fd(memfd_create("odd-model", MFD_CLOEXEC));
    if (!bench::write_random_model(shape, 7, fd.get()).ok()) throw std::runtime_error("no model");
    std::vector<std::byte> bytes(static_cast<size_t>(lseek(fd.get(), 0, SEEK_END)));
    if (pread(fd.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
        throw std::runtime_error("cannot read back");
    }
    return bytes;
}

struct Packed {
    std::vector<std::byte> bytes;
    std::string refusal;
};

// threads: 0 is without a pool.
Packed pack(std::span<const std::byte> file, size_t threads) {
    std::unique_ptr<ThreadPool> pool;
    if (threads > 0) {
        pool = std::move(ThreadPool::create({std::vector<int>(threads, 0), false, 0})).value();
    }
    std::vector<NamedSource> files;
    files.push_back({"odd.gguf", std::make_unique<MemorySource>(file)});
    PrepareOptions options;
    options.overrides.output_screen = true;
    auto preparation = Preparation::open(std::move(files), options);
    if (!preparation.ok()) return {{}, preparation.error().message};
    AlignedArray<std::byte> segment(static_cast<size_t>(preparation->weights_bytes()));
    std::fill(segment.span().begin(), segment.span().end(), std::byte{0});
    const auto packed = preparation->pack(segment.span(), {}, pool.get());
    if (!packed.ok()) return {{}, packed.error().message};
    return {{segment.span().begin(), segment.span().end()}, {}};
}

TEST(ParallelPack, GivesTheSameBytes) {
    for (const ModelShape& shape : bench::model_shapes()) {
        SCOPED_TRACE(shape.name);
        const auto file = file_of(made_odd(shape));
        const Packed alone = pack(file, 0);
        ASSERT_EQ(alone.refusal, "");
        for (const size_t threads : {1, 2, 3, 7}) {
            const Packed together = pack(file, threads);
            ASSERT_EQ(together.refusal, "");
            EXPECT_TRUE(together.bytes == alone.bytes) << threads << " threads";
        }
    }
}

TEST(ParallelPack, RefusesWithTheSameWords) {
    const ModelShape shape = made_odd(*bench::find_shape("2b4t"));
    auto file = file_of(shape);
    MemorySource source(file);
    const auto head = gguf::read(source, {});
    ASSERT_TRUE(head.ok()) << head.error().message;
    const auto table =
        std::find_if(head->tensors.begin(), head->tensors.end(),
                     [](const auto& info) { return info.name == "token_embd.weight"; });
    ASSERT_NE(table, head->tensors.end());
    const uint16_t infinite = 0x7c00;
    for (const uint64_t row : {3000, 1700}) {
        const uint64_t at = head->data_start + table->offset + (row * shape.hidden + 11) * 2;
        std::memcpy(file.data() + at, &infinite, sizeof infinite);
    }
    for (const size_t threads : {0, 1, 2, 3, 7}) {
        EXPECT_EQ(pack(file, threads).refusal,
                  "tensor 'token_embd.weight': row 1700, column 11 is not finite")
            << threads << " threads";
    }
}

}  // namespace
}  // namespace bitnetd::worker
