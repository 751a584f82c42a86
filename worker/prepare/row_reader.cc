#include "worker/prepare/row_reader.h"

#include <algorithm>

#include "common/base/check.h"

namespace bitnetd::worker {

RowReader::RowReader(Source& source, const gguf::File& file, const gguf::TensorInfo& tensor)
    : source_(source),
      start_(file.data_start + tensor.offset),
      rows_(tensor.elements() / tensor.dims[0]),
      columns_(tensor.dims[0]),
      row_bytes_(columns_ / quant::info_of(tensor.type).block_elements *
                     quant::info_of(tensor.type).block_bytes +
                 quant::info_of(tensor.type).row_header_bytes) {
    BITNETD_CHECK(row_bytes_ > 0);
}

Result<std::span<const std::byte>> RowReader::next() {
    BITNETD_CHECK(next_row_ < rows_);
    if (next_row_ == buffered_until_) {
        const uint64_t fitting = std::max<uint64_t>(1, kReadBufferBytes / row_bytes_);
        const uint64_t count = std::min(fitting, rows_ - next_row_);
        buffer_.resize(static_cast<size_t>(count * row_bytes_));
        BITNETD_TRY(source_.read_at(start_ + next_row_ * row_bytes_, buffer_));
        buffered_until_ = next_row_ + count;
    }
    const size_t from_end = static_cast<size_t>((buffered_until_ - next_row_) * row_bytes_);
    ++next_row_;
    return std::span<const std::byte>(buffer_).last(from_end).first(
        static_cast<size_t>(row_bytes_));
}

Result<void> RowReader::read_tail(std::span<std::byte> out) {
    return source_.read_at(start_ + rows_ * row_bytes_, out);
}

}  // namespace bitnetd::worker
