// RowReader: the rows of one tensor, front to back, through a buffer of bounded size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "common/gguf/gguf_reader.h"

namespace bitnetd::worker {

inline constexpr uint64_t kReadBufferBytes = 1u << 20;  // at least one row, however long

class RowReader {
  public:
    // A tensor of a file read from `source`: vectors count as one row.
    RowReader(Source& source, const gguf::File& file, const gguf::TensorInfo& tensor);

    uint64_t rows() const { return rows_; }
    uint64_t columns() const { return columns_; }

    // The bytes of the next row, valid until the next call. Called at most rows() times.
    Result<std::span<const std::byte>> next();

    // What lies behind the last row: the type's tail.
    Result<void> read_tail(std::span<std::byte> out);

  private:
    Source& source_;
    uint64_t start_;  // of the tensor in the source
    uint64_t rows_;
    uint64_t columns_;
    uint64_t row_bytes_;
    uint64_t next_row_ = 0;
    uint64_t buffered_until_ = 0;  // rows below are in the buffer or done
    std::vector<std::byte> buffer_;
};

}  // namespace bitnetd::worker
