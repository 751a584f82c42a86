// SelfTest: the prompts that a new model's first worker computes before any client's request may
// reach it (mechanics.md section 6): with this frontend's tokenizer, through the rings, greedily
// and a few tokens long. Each must give a token; what dispatch takes for a failure fails it. Loop
// thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "shm/abi/rollout_abi.h"
#include "supervisor/frontend/api/model_catalog.h"
#include "supervisor/frontend/api/prepare.h"
#include "supervisor/frontend/dispatch/dispatcher.h"

namespace bitnetd::frontend {

class SelfTest {
  public:
    static constexpr uint32_t kTokens = 8;

    // Starts all prompts at once. `model` null: it is not known here, which fails the test. The
    // dispatcher outlives it.
    SelfTest(const shm::SelfTestMessage& order, std::shared_ptr<const Model> model,
             Dispatcher& dispatcher, const RequestLimits& limits);
    ~SelfTest();
    SelfTest(const SelfTest&) = delete;
    SelfTest& operator=(const SelfTest&) = delete;

    bool is_over() const;
    // Of one that is over.
    shm::SelfTestDoneMessage result() const;

  private:
    struct Run;
    void start(std::string_view prompt, std::shared_ptr<const Model> model, Dispatcher& dispatcher,
               const RequestLimits& limits);

    const uint64_t rollout_;
    const uint64_t worker_;
    std::vector<std::unique_ptr<Run>> runs_;
};

}  // namespace bitnetd::frontend
