#include "tests/unit/worker/inspect/made_model.h"

#include <random>
#include <stdexcept>

#include "common/quant/encode.h"

namespace bitnetd::worker::test {
namespace {

class OwnedBytes final : public Source {
  public:
    explicit OwnedBytes(std::vector<std::byte> bytes) : bytes_(std::move(bytes)), source_(bytes_) {}
    uint64_t bytes() const override { return source_.bytes(); }
    Result<void> read_at(uint64_t offset, std::span<std::byte> out) override {
        return source_.read_at(offset, out);
    }

  private:
    std::vector<std::byte> bytes_;
    MemorySource source_;
};

void must(const Result<void>& result) {
    if (!result.ok()) throw std::runtime_error(result.error().message);
}

}  // namespace

std::vector<NamedSource> as_files(std::vector<std::byte> bytes) {
    std::vector<NamedSource> files;
    files.push_back({"model.gguf", std::make_unique<OwnedBytes>(std::move(bytes))});
    return files;
}

Result<std::unique_ptr<ModelInput>> open_bytes(std::vector<std::byte> bytes) {
    return open_model(as_files(std::move(bytes)), {});
}

void MadeModel::add(std::string_view name, quant::Type type, quant::Shape shape,
                    std::vector<std::byte> data) {
    std::vector<uint64_t> dims = {shape.columns, shape.rows};
    if (shape.rows == 1) dims.pop_back();
    writer.add_tensor(name, dims, type);
    data_.push_back(std::move(data));
}

void MadeModel::add_floats(std::string_view name, quant::Type type, quant::Shape shape,
                           const std::vector<float>& values) {
    std::vector<std::byte> data(*quant::matrix_bytes(type, shape));
    const uint64_t row_bytes = data.size() / shape.rows;
    for (uint64_t row = 0; row < shape.rows; ++row) {
        must(quant::encode_floats(type,
                                  std::span(values).subspan(row * shape.columns, shape.columns),
                                  std::span(data).subspan(row * row_bytes, row_bytes)));
    }
    add(name, type, shape, std::move(data));
}

void MadeModel::add_ternary(std::string_view name, quant::Type type, quant::Shape shape,
                            const std::vector<int8_t>& digits, const std::vector<float>& scales) {
    std::vector<std::byte> data(*quant::matrix_bytes(type, shape));
    const uint64_t tail = quant::info_of(type).tail_bytes;
    const uint64_t row_bytes = (data.size() - tail) / shape.rows;
    for (uint64_t row = 0; row < shape.rows; ++row) {
        must(quant::encode_digits(type,
                                  std::span(digits).subspan(row * shape.columns, shape.columns),
                                  scales.size() == 1 ? scales[0] : scales[row],
                                  std::span(data).subspan(row * row_bytes, row_bytes)));
    }
    if (tail > 0) {
        const auto end = quant::i2_s_tail(scales[0]);
        std::copy(end.begin(), end.end(), data.end() - static_cast<std::ptrdiff_t>(tail));
    }
    add(name, type, shape, std::move(data));
}

std::unique_ptr<ModelInput> MadeModel::open() const {
    auto input = open_bytes(bytes());
    if (!input.ok()) throw std::runtime_error(input.error().message);
    return std::move(input).value();
}

std::vector<int8_t> some_digits(quant::Shape shape, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<int8_t> digits(shape.rows * shape.columns);
    for (int8_t& digit : digits)
        digit = static_cast<int8_t>(static_cast<int>(random() % 3) - 1);
    return digits;
}

}  // namespace bitnetd::worker::test
