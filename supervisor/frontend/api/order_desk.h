// OrderDesk: operators' orders on their way. Sends each to the supervisor, remembers who asked, and
// answers when the supervisor refused it, when its rollout began (clients that do not wait) or when
// it ended. A client that leaves takes nothing along: the rollout goes on. Keeps the book of
// rollouts, since what ends an order is what the book is told.
//   place() --kOrder--> supervisor --kOrderAnswer--> take_answer() --kRollout ...--> take_rollout()
// Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

#include "common/base/clock.h"
#include "supervisor/frontend/api/order_request.h"
#include "supervisor/frontend/api/order_sender.h"
#include "supervisor/frontend/api/rollout_book.h"
#include "supervisor/frontend/http/exchange.h"

namespace bitnetd::frontend {

class OrderDesk {
  public:
    // The supervisor takes or refuses at once; longer means that it hangs: 503.
    static constexpr uint64_t kAnswerTimeoutNs = 10 * kNsPerS;
    // How long a client may wait for the end: then 202, and it can look by itself.
    static constexpr uint64_t kWaitMaxNs = 3600 * kNsPerS;
    // Orders not answered yet; beyond: 503 queue_full.
    static constexpr size_t kOrdersMax = 64;

    explicit OrderDesk(OrderSender& sender) : sender_(sender) {}
    OrderDesk(const OrderDesk&) = delete;
    OrderDesk& operator=(const OrderDesk&) = delete;

    // Answers `exchange`, now or later, unless it goes away first.
    void place(Exchange& exchange, const Order& order, uint64_t now_ns);

    void take_answer(const shm::OrderAnswerMessage& answer, uint64_t now_ns);
    void take_rollout(const shm::RolloutMessage& rollout);
    // Looks at deadlines; several times a second. While draining nobody waits for an end: 202.
    void observe(uint64_t now_ns, bool is_draining);

    const RolloutBook& book() const { return book_; }
    size_t open_orders() const { return open_.size(); }

  private:
    struct Open {
        Exchange* exchange;  // null: the client has left
        Order order;
        uint64_t due_ns;
        uint64_t rollout = 0;  // its number; 0: not answered by the supervisor
    };
    using Opens = std::map<uint64_t, Open>;  // by OrderMessage::request

    Opens::iterator close(Opens::iterator at, Response response);
    Opens::iterator fail(Opens::iterator at, const ApiError& error);
    Opens::iterator answer_running(Opens::iterator at);
    Opens::iterator answer_if_ended(Opens::iterator at, const shm::RolloutMessage& rollout);
    Opens::iterator expire(Opens::iterator at);

    OrderSender& sender_;
    RolloutBook book_;
    Opens open_;
    uint64_t last_request_ = 0;
};

}  // namespace bitnetd::frontend
