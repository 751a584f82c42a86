#include "tests/support/bench/random_model.h"

#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "common/gguf/gguf_writer.h"
#include "tests/support/bench/random_vocabulary.h"
#include "tests/support/bench/random_weights.h"

namespace bitnetd::bench {
namespace {

using quant::Type;

struct Tensor {
    std::string name;
    quant::Shape shape;  // of one row: a norm
    Type type;
};

// Which layers of the mix called Q4_K_M are kept in more bits: the first and last eighth, and every
// third of the others.
bool is_precise(uint32_t layer, uint32_t layers) {
    return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

class TensorList {
  public:
    explicit TensorList(const ModelShape& shape) : shape_(shape) {
        matrix("token_embd.weight", shape.vocab, shape.hidden, shape.table);
        norm("output_norm.weight", shape.hidden);
        if (shape.own_output) matrix("output.weight", shape.vocab, shape.hidden, shape.table);
        for (uint32_t layer = 0; layer < shape.layers; ++layer)
            add_layer(layer);
    }
    std::vector<Tensor> take() && { return std::move(tensors_); }

  private:
    void matrix(const std::string& name, uint64_t rows, uint64_t columns, Type type) {
        tensors_.push_back({name, {rows, columns}, type});
    }
    void norm(const std::string& name, uint64_t size) {
        tensors_.push_back({name, {1, size}, Type::kF32});
    }
    void add_layer(uint32_t layer) {
        const std::string prefix = "blk." + std::to_string(layer) + ".";
        const uint64_t hidden = shape_.hidden, ffn = shape_.ffn;
        const uint64_t query = uint64_t{shape_.heads} * shape_.head_dim;
        const uint64_t kv = uint64_t{shape_.kv_heads} * shape_.head_dim;
        const Type type = shape_.linear;
        const Type precise = is_precise(layer, shape_.layers) ? shape_.linear_precise : type;
        norm(prefix + "attn_norm.weight", hidden);
        matrix(prefix + "attn_q.weight", query, hidden, type);
        matrix(prefix + "attn_k.weight", kv, hidden, type);
        matrix(prefix + "attn_v.weight", kv, hidden, precise);
        if (shape_.sub_norms) norm(prefix + "attn_sub_norm.weight", query);
        matrix(prefix + "attn_output.weight", hidden, query, type);
        norm(prefix + "ffn_norm.weight", hidden);
        matrix(prefix + "ffn_gate.weight", ffn, hidden, type);
        matrix(prefix + "ffn_up.weight", ffn, hidden, type);
        if (shape_.sub_norms) norm(prefix + "ffn_sub_norm.weight", ffn);
        matrix(prefix + "ffn_down.weight", hidden, ffn, precise);
    }

    const ModelShape& shape_;
    std::vector<Tensor> tensors_;
};

void add_keys(const ModelShape& shape, gguf::Writer& writer) {
    const std::string prefix = std::string(shape.architecture) + ".";
    const auto u32 = [&](const char* name, uint32_t value) {
        writer.add_u32(prefix + name, value);
    };
    writer.add_text("general.architecture", shape.architecture);
    writer.add_text("general.name", std::string("random ") + shape.name);
    u32("context_length", shape.context);
    u32("embedding_length", shape.hidden);
    u32("block_count", shape.layers);
    u32("feed_forward_length", shape.ffn);
    u32("attention.head_count", shape.heads);
    u32("attention.head_count_kv", shape.kv_heads);
    u32("attention.key_length", shape.head_dim);
    u32("attention.value_length", shape.head_dim);
    u32("rope.dimension_count", shape.head_dim);
    writer.add_f32(prefix + "rope.freq_base", shape.rope_base);
    writer.add_f32(prefix + "attention.layer_norm_rms_epsilon", 1e-5f);
    add_random_vocabulary(shape.vocab, writer);
}

Result<void> write_all(int fd, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t written = write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return io_error("write the random model", errno);
        bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return {};
}

}  // namespace

Result<void> write_random_model(const ModelShape& shape, uint64_t seed, int fd) {
    gguf::Writer writer;
    add_keys(shape, writer);
    const std::vector<Tensor> tensors = TensorList(shape).take();
    for (const Tensor& tensor : tensors) {
        std::vector<uint64_t> dims{tensor.shape.columns};
        if (tensor.shape.rows > 1) dims.push_back(tensor.shape.rows);
        writer.add_tensor(tensor.name, dims, tensor.type);
    }
    BITNETD_TRY(write_all(fd, writer.head()));

    FastRandom random(seed);
    for (const Tensor& tensor : tensors) {
        uint64_t bytes = 0;
        const Sink sink = [&](std::span<const std::byte> part) {
            bytes += part.size();
            return write_all(fd, part);
        };
        if (tensor.shape.rows == 1) {
            BITNETD_TRY(random_norm(tensor.shape.columns, random, sink));
        } else {
            BITNETD_TRY(random_matrix(tensor.type, tensor.shape, random, sink));
        }
        const std::vector<std::byte> padding(writer.padded_bytes(bytes) - bytes);
        BITNETD_TRY(write_all(fd, padding));
    }
    return {};
}

}  // namespace bitnetd::bench
