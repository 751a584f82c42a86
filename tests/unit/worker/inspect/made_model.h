// Model files in memory, for tests that look into them and convert them: tensors with the types and
// values that a test wants, written by the GGUF writer and opened as the loader opens files.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/gguf/gguf_writer.h"
#include "worker/prepare/model_input.h"

namespace bitnetd::worker::test {

// One file named "model.gguf". The error is open_model()'s.
Result<std::unique_ptr<ModelInput>> open_bytes(std::vector<std::byte> bytes);
std::vector<NamedSource> as_files(std::vector<std::byte> bytes);

class MadeModel {
  public:
    // A writer whose keys the test may add to.
    gguf::Writer writer;

    // [rows][columns] values in a type that encode_floats() writes; one row is a vector.
    void add_floats(std::string_view name, quant::Type type, quant::Shape shape,
                    const std::vector<float>& values);
    // Digits with one scale for each row, or (scales of one) for the matrix.
    void add_ternary(std::string_view name, quant::Type type, quant::Shape shape,
                     const std::vector<int8_t>& digits, const std::vector<float>& scales);

    std::vector<std::byte> bytes() const { return writer.file(data_); }
    // Throws when it cannot be opened: the test fails.
    std::unique_ptr<ModelInput> open() const;

  private:
    void add(std::string_view name, quant::Type type, quant::Shape shape,
             std::vector<std::byte> data);

    std::vector<std::vector<std::byte>> data_;
};

// -1, 0, 1, -1, ... in an order that depends on `seed`.
std::vector<int8_t> some_digits(quant::Shape shape, uint64_t seed);

}  // namespace bitnetd::worker::test
