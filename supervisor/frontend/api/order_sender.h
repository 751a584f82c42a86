// The way of an order to the supervisor: the control socket in production, a list in tests.
#pragma once

#include "common/base/result.h"
#include "shm/abi/rollout_abi.h"

namespace bitnetd::frontend {

class OrderSender {
  public:
    virtual ~OrderSender() = default;
    // Does not block. Fails when the supervisor is gone or does not read.
    virtual Result<void> send_order(const shm::OrderMessage& order) = 0;
};

}  // namespace bitnetd::frontend
