// ModelInput: a model as the loader reads it, whatever it is stored in. Keys and tensors have the
// names that GGUF gives them and rows are in GGUF's order, so that all that follows (plan, packing,
// verify, convert) knows one kind of model. Two implementations: gguf_input.h (one file or a split
// set) and hf_input.h (a Hugging Face directory).
// Loader process and tests; any thread may read, several at once. The files are untrusted: what
// open_model() returns has every tensor's type, shape and place checked against its file, but no
// tensor data read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/source.h"
#include "common/gguf/metadata.h"
#include "common/quant/quant_types.h"
#include "common/quant/ternary_matrix.h"

namespace bitnetd::worker {

// One of the files a model consists of, by its plain name ("model-00001-of-00002.gguf").
struct NamedSource {
    std::string name;
    std::unique_ptr<Source> source;
};

// What nothing in a file tells; set by the operator.
struct LayoutOptions {
    quant::I2sLayout i2s_layout = quant::I2sLayout::kBlocks128;
    std::vector<quant::TileOfShape> tl_tiles;  // beside the published ones
};

struct ModelTensor {
    std::string name;    // "blk.3.attn_q.weight"
    quant::Type type{};  // as stored
    quant::Shape shape;  // [outputs][inputs]; a vector is one row
    uint64_t bytes = 0;  // as stored
    // open_ternary() reads it: a ternary type, or a matrix that its checkpoint means to be
    // ternarised (online checkpoints). Otherwise read_floats() does.
    bool ternary = false;
};

class ModelInput {
  public:
    virtual ~ModelInput() = default;
    ModelInput(const ModelInput&) = delete;
    ModelInput& operator=(const ModelInput&) = delete;

    const gguf::Metadata& metadata() const { return metadata_; }
    const std::vector<ModelTensor>& tensors() const { return tensors_; }
    const ModelTensor* find(std::string_view name) const;  // null when absent

    // Of all files.
    virtual uint64_t file_bytes() const = 0;
    // Every byte of every file, in parts, in an order that depends on their names only.
    using ByteSink = std::function<void(std::span<const std::byte>)>;
    virtual Result<void> read_all(const ByteSink& sink) = 0;

    // Rows `first` .. `first` + `count` as floats, [count][columns]. The type decodes to floats.
    // Values that are not finite are an error that names row and column.
    virtual Result<void> read_floats(const ModelTensor& tensor, uint64_t first, uint64_t count,
                                     std::span<float> out) = 0;

    // The same rows as stored, for types of which a row is so many bytes on its own (all that
    // read_floats() reads).
    virtual Result<void> read_bytes(const ModelTensor& tensor, uint64_t first, uint64_t count,
                                    std::span<std::byte> out) = 0;

    // A tensor with `ternary`. The input outlives the matrix, which is one thread's.
    virtual Result<std::unique_ptr<quant::TernaryMatrix>> open_ternary(
        const ModelTensor& tensor) = 0;

  protected:
    ModelInput() = default;

    gguf::Metadata metadata_;
    std::vector<ModelTensor> tensors_;  // each name once
};

// Reads the heads of `files`: one GGUF file, all parts of a split one, or the files of a Hugging
// Face directory. The error names file and tensor or key.
Result<std::unique_ptr<ModelInput>> open_model(std::vector<NamedSource> files,
                                               const LayoutOptions& options);

}  // namespace bitnetd::worker
