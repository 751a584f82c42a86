// What is wrong with a model, collected: a verification goes on after the first error.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bitnetd::worker {

enum class Severity : uint8_t {
    kError,    // the model must not be served
    kWarning,  // it can be, but somebody should look
};

struct Finding {
    Severity severity;
    std::string subject;  // "tensor blk.0.attn_q.weight", "key general.type", "file"
    std::string message;
};

class Findings {
  public:
    void error(std::string subject, std::string message) {
        all_.push_back({Severity::kError, std::move(subject), std::move(message)});
        ++errors_;
    }
    void warn(std::string subject, std::string message) {
        all_.push_back({Severity::kWarning, std::move(subject), std::move(message)});
    }

    const std::vector<Finding>& all() const { return all_; }
    size_t errors() const { return errors_; }
    size_t warnings() const { return all_.size() - errors_; }

  private:
    std::vector<Finding> all_;
    size_t errors_ = 0;
};

}  // namespace bitnetd::worker
