// GgufInput: one GGUF file, or all parts of a split one, as a ModelInput. Each part is validated as
// a file of its own; keys come from the first, tensors from all. Loader process and tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "common/gguf/gguf_reader.h"
#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

class GgufInput final : public ModelInput {
  public:
    // Names are distinct; the order is free. Tensors are matrices or vectors of any type that
    // common/quant knows. A matrix whose IQ*_BN rows have no scales reads as if they were 1: its
    // tensor "<name>.scale" must be there, and is the graph's to apply.
    static Result<std::unique_ptr<ModelInput>> open(std::vector<NamedSource> files,
                                                    const LayoutOptions& options);

    uint64_t file_bytes() const override;
    Result<void> read_all(const ByteSink& sink) override;
    Result<void> read_floats(const ModelTensor& tensor, uint64_t first, uint64_t count,
                             std::span<float> out) override;
    Result<void> read_bytes(const ModelTensor& tensor, uint64_t first, uint64_t count,
                            std::span<std::byte> out) override;
    Result<std::unique_ptr<quant::TernaryMatrix>> open_ternary(const ModelTensor& tensor) override;

  private:
    // Where the data of tensors_[i] is: places_[i].
    struct Place {
        Source* part;
        uint64_t offset;  // from the start of the part
        quant::RowScales row_scales;
    };

    GgufInput(std::vector<NamedSource> parts, const LayoutOptions& options)
        : parts_(std::move(parts)), options_(options) {}

    Result<void> read_heads();
    Result<void> add_part(size_t index);
    Result<void> add_tensor(const gguf::File& file, const gguf::TensorInfo& info, Source& part);
    Result<void> check_scales() const;
    const Place& place_of(const ModelTensor& tensor) const;

    std::vector<NamedSource> parts_;  // by split.no
    LayoutOptions options_;
    std::vector<Place> places_;
};

}  // namespace bitnetd::worker
