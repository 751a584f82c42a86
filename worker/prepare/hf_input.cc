#include "worker/prepare/hf_input.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/quote.h"
#include "common/quant/float_rows.h"
#include "common/safetensors/hf_config.h"
#include "common/safetensors/hf_side_files.h"
#include "common/safetensors/row_permutation.h"
#include "common/safetensors/tokenizer_json.h"
#include "worker/prepare/hf_directory.h"
#include "worker/prepare/hf_matrices.h"
#include "worker/prepare/hf_metadata.h"
#include "worker/prepare/hf_tensors.h"
#include "worker/prepare/hf_tokenizer.h"

namespace bitnetd::worker {
namespace {

using safetensors::ModelConfig;

constexpr uint64_t kReadBytes = 1u << 20;  // at a time, or one row

class HfInput final : public ModelInput {
  public:
    explicit HfInput(HfDirectory directory) : directory_(std::move(directory)) {}

    Result<void> open();

    uint64_t file_bytes() const override { return directory_.bytes(); }
    Result<void> read_all(const ByteSink& sink) override;
    Result<void> read_floats(const ModelTensor& tensor, uint64_t first, uint64_t count,
                             std::span<float> out) override;
    Result<void> read_bytes(const ModelTensor& tensor, uint64_t first, uint64_t count,
                            std::span<std::byte> out) override;
    Result<TernaryMatrixPtr> open_ternary(const ModelTensor& tensor) override;

  private:
    Result<void> open_config();
    Result<void> open_tokenizer();
    Result<void> open_tensors();

    const HfTensor& details(const ModelTensor& tensor) const;
    quant::ReadAt reader(const HfPlace& place) const;
    Result<void> read_rows(const HfTensor& from, uint64_t first, uint64_t count,
                           std::span<std::byte> out) const;
    Result<void> read_row_floats(const HfTensor& from, uint64_t first, uint64_t count,
                                 std::span<float> out) const;
    Result<float> read_scale(const HfPlace& place) const;

    HfDirectory directory_;
    ModelConfig config_;
    std::vector<Source*> sources_;  // of the checkpoint's files
    std::vector<HfTensor> details_;
    std::map<std::string, size_t, std::less<>> detail_of_;  // GGUF name -> index in details_
};

Result<void> HfInput::open() {
    BITNETD_TRY(open_config());
    BITNETD_TRY(open_tensors());
    return open_tokenizer();
}

Result<void> HfInput::open_config() {
    BITNETD_ASSIGN(const std::string text,
                   directory_.read_required_text("config.json", safetensors::kConfigBytesMax));
    auto config = safetensors::parse_model_config(text);
    if (!config) return std::move(config).error().within("config.json");
    config_ = std::move(*config);

    constexpr std::string_view kPooling = "1_Pooling/config.json";
    std::optional<safetensors::Pooling> pooling;
    BITNETD_ASSIGN(const auto pooling_text,
                   directory_.read_text(kPooling, safetensors::kSideFileBytesMax));
    if (pooling_text) {
        auto parsed = safetensors::parse_pooling(*pooling_text);
        if (!parsed) return std::move(parsed).error().within(kPooling);
        pooling = *parsed;
    }
    return add_model_keys(config_, pooling, metadata_);
}

Result<void> HfInput::open_tensors() {
    BITNETD_ASSIGN(HfDirectory::Weights weights, directory_.open_weights());
    BITNETD_ASSIGN(details_, map_tensors(weights, config_));
    sources_ = std::move(weights.sources);
    for (const HfTensor& detail : details_) {
        detail_of_.emplace(detail.tensor.name, tensors_.size());
        tensors_.push_back(detail.tensor);
    }
    return {};
}

Result<void> HfInput::open_tokenizer() {
    constexpr std::string_view kTokenizer = "tokenizer.json";
    if (!directory_.has(kTokenizer) && directory_.has("tokenizer.model")) {
        return unsupported(
            "the directory has tokenizer.model but no tokenizer.json, which is needed: save the "
            "tokenizer with transformers' AutoTokenizer, or take the GGUF file of the model");
    }
    HfTokenizerTexts texts;
    BITNETD_ASSIGN(texts.tokenizer,
                   directory_.read_required_text(kTokenizer, safetensors::kTokenizerBytesMax));
    BITNETD_ASSIGN(texts.tokenizer_config,
                   directory_.read_text("tokenizer_config.json", safetensors::kSideFileBytesMax));
    BITNETD_ASSIGN(texts.generation_config,
                   directory_.read_text("generation_config.json", safetensors::kSideFileBytesMax));
    BITNETD_ASSIGN(texts.chat_template,
                   directory_.read_text("chat_template.jinja", safetensors::kChatTemplateBytesMax));
    return add_tokenizer_keys(texts, config_, metadata_);
}

Result<void> HfInput::read_all(const ByteSink& sink) {
    std::vector<std::byte> buffer;
    for (const NamedSource& file : directory_.files()) {
        const uint64_t bytes = file.source->bytes();
        for (uint64_t at = 0; at < bytes; at += buffer.size()) {
            buffer.resize(static_cast<size_t>(std::min(kReadBytes, bytes - at)));
            auto read = file.source->read_at(at, buffer);
            if (!read) return std::move(read).error().within(file.name);
            sink(buffer);
        }
    }
    return {};
}

const HfTensor& HfInput::details(const ModelTensor& tensor) const {
    const auto at = detail_of_.find(tensor.name);
    BITNETD_CHECK(at != detail_of_.end());
    return details_[at->second];
}

quant::ReadAt HfInput::reader(const HfPlace& place) const {
    Source* const source = sources_[place.file];
    return [source, start = place.offset](uint64_t offset, std::span<std::byte> out) {
        return source->read_at(start + offset, out);
    };
}

// Stored bytes of `count` rows; of a vector that is permuted, its elements.
Result<void> HfInput::read_rows(const HfTensor& from, uint64_t first, uint64_t count,
                                std::span<std::byte> out) const {
    const quant::ReadAt read = reader(from.place);
    if (count == 0) return {};
    const size_t row_bytes = out.size() / static_cast<size_t>(count);
    if (from.permuted_head_dim == 0) return read(first * row_bytes, out);
    if (from.tensor.shape.rows == 1) {
        std::vector<std::byte> elements(out.size());
        BITNETD_TRY(read(0, elements));
        const size_t size = quant::info_of(from.place.type).block_bytes;
        for (size_t i = 0; i < out.size() / size; ++i) {
            const size_t at = safetensors::hf_row(i, from.permuted_head_dim) * size;
            std::memcpy(out.data() + i * size, elements.data() + at, size);
        }
        return {};
    }
    for (uint64_t i = 0; i < count; ++i) {
        const uint64_t row = safetensors::hf_row(first + i, from.permuted_head_dim);
        BITNETD_TRY(read(row * row_bytes, out.subspan(i * row_bytes, row_bytes)));
    }
    return {};
}

Result<void> HfInput::read_row_floats(const HfTensor& from, uint64_t first, uint64_t count,
                                      std::span<float> out) const {
    const auto columns = static_cast<size_t>(from.tensor.shape.columns);
    const size_t size = quant::info_of(from.place.type).block_bytes;
    const uint64_t step = std::max<uint64_t>(kReadBytes / (columns * size), 1);
    std::vector<std::byte> buffer;
    for (uint64_t done = 0; done < count; done += step) {
        const uint64_t rows = std::min(step, count - done);
        const auto values = out.subspan(done * columns, rows * columns);
        buffer.resize(values.size() * size);
        BITNETD_TRY(read_rows(from, first + done, rows, buffer));
        quant::decode_floats(from.place.type, buffer, values);
    }
    if (const auto bad = quant::first_not_finite(out)) {
        return invalid("row " + std::to_string(first + *bad / columns) + ", column " +
                       std::to_string(*bad % columns) + " is not finite");
    }
    if (!from.plus_one) return {};
    for (float& value : out)
        value += 1;
    return {};
}

Result<void> HfInput::read_floats(const ModelTensor& tensor, uint64_t first, uint64_t count,
                                  std::span<float> out) {
    const HfTensor& from = details(tensor);
    BITNETD_CHECK(!from.tensor.ternary);
    BITNETD_CHECK(first <= from.tensor.shape.rows && count <= from.tensor.shape.rows - first);
    BITNETD_CHECK(out.size() == count * from.tensor.shape.columns);
    if (!from.values.empty()) {
        std::copy_n(from.values.begin(), out.size(), out.begin());
        return {};
    }
    auto read = read_row_floats(from, first, count, out);
    if (!read) return std::move(read).error().within(quote(from.hf_name));
    return {};
}

Result<void> HfInput::read_bytes(const ModelTensor& tensor, uint64_t first, uint64_t count,
                                 std::span<std::byte> out) {
    const HfTensor& from = details(tensor);
    const auto& shape = from.tensor.shape;
    BITNETD_CHECK(!from.tensor.ternary);
    BITNETD_CHECK(first <= shape.rows && count <= shape.rows - first);
    BITNETD_CHECK(out.size() ==
                  count * shape.columns * quant::info_of(from.tensor.type).block_bytes);
    if (from.values.empty() && !from.plus_one) {
        auto read = read_rows(from, first, count, out);
        if (!read) return std::move(read).error().within(quote(from.hf_name));
        return {};
    }
    std::vector<float> values(out.size() / sizeof(float));
    BITNETD_TRY(read_floats(tensor, first, count, values));
    std::memcpy(out.data(), values.data(), out.size());
    return {};
}

Result<float> HfInput::read_scale(const HfPlace& place) const {
    const size_t size = quant::info_of(place.type).block_bytes;
    std::vector<std::byte> bytes(size);
    BITNETD_TRY(reader(place)(0, bytes));
    float scale = 0;
    quant::decode_floats(place.type, bytes, {&scale, 1});
    return safetensors::weight_magnitude(config_.quantization->linear_class, scale);
}

Result<TernaryMatrixPtr> HfInput::open_ternary(const ModelTensor& tensor) {
    const HfTensor& from = details(tensor);
    BITNETD_CHECK(from.tensor.ternary);
    const auto open_rows = [&]() -> Result<TernaryMatrixPtr> {
        const quant::Shape shape = from.tensor.shape;
        if (!from.scale) return open_master(from.place.type, shape, reader(from.place));
        quant::TernaryOptions options;
        BITNETD_ASSIGN(options.outer_scale, read_scale(*from.scale));
        return quant::open_ternary(from.place.type, shape, reader(from.place), options);
    };
    auto matrix = open_rows();
    if (!matrix) return std::move(matrix).error().within(quote(from.hf_name));
    if (from.permuted_head_dim == 0) return matrix;
    return in_gguf_order(std::move(*matrix), from.permuted_head_dim);
}

}  // namespace

Result<std::unique_ptr<ModelInput>> open_hf(std::vector<NamedSource> files, const LayoutOptions&) {
    BITNETD_ASSIGN(HfDirectory directory, HfDirectory::open(std::move(files)));
    auto input = std::make_unique<HfInput>(std::move(directory));
    BITNETD_TRY(input->open());
    return std::unique_ptr<ModelInput>(std::move(input));
}

}  // namespace bitnetd::worker
