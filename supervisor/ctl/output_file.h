// OutputFile: a file that appears under its name complete or not at all. It is written as
// NAME.partial; commit() makes it durable and renames it. Dropped without commit() the partial file
// is removed; if we are killed it stays, and can never be taken for the whole.
#pragma once

#include <string>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace bitnetd::supervisor {

class OutputFile {
  public:
    // Refuses when `path` exists, or its partial file does; with `replace` only when another
    // process is writing that now.
    static Result<OutputFile> create(const std::string& path, bool replace);

    OutputFile(OutputFile&& other) noexcept;
    OutputFile& operator=(OutputFile&&) = delete;
    ~OutputFile();

    int fd() const { return fd_.get(); }
    Result<void> commit();

  private:
    OutputFile(std::string path, bool replace, Fd fd)
        : path_(std::move(path)), replace_(replace), fd_(std::move(fd)) {}
    std::string partial() const { return path_ + ".partial"; }

    std::string path_;
    bool replace_;
    Fd fd_;  // empty: committed or moved from
};

}  // namespace bitnetd::supervisor
