// Every board this frontend may read: its own and those the supervisor sent (kBoard). Read
// by /metrics and /v1/models. A board's process may be dead or hostile; BoardView copies out. Loop
// thread only.
#pragma once

#include <cstdint>
#include <map>

#include "common/base/result.h"
#include "shm/board/board.h"
#include "shm/segment/segment.h"

namespace bitnetd::frontend {

// Whether the process's gauges say what is now; its counters stay true.
inline bool is_alive(const shm::BoardView& board) {
    const shm::ProcessState state = board.state();
    return state != shm::ProcessState::kStopped && state != shm::ProcessState::kDead;
}

class BoardSet {
  public:
    // Maps the board; the descriptor stays the caller's.
    Result<void> add(uint64_t incarnation, int fd) {
        BITNETD_ASSIGN(shm::Segment segment, shm::Segment::map(fd, shm::Access::kRead));
        BITNETD_ASSIGN(shm::BoardView view, shm::BoardView::open(segment));
        boards_.insert_or_assign(incarnation, Entry{std::move(segment), std::move(view)});
        return {};
    }
    // A board whose memory the caller keeps mapped: this process's own.
    void add(shm::BoardView view) {
        const uint64_t incarnation = view.incarnation();
        boards_.insert_or_assign(incarnation, Entry{shm::Segment(), std::move(view)});
    }
    void remove(uint64_t incarnation) { boards_.erase(incarnation); }
    // Those of this slot but for one: its counters continue theirs.
    void remove_others(shm::Role role, uint32_t slot, uint64_t incarnation) {
        std::erase_if(boards_, [&](const auto& it) {
            const shm::BoardView& view = it.second.view;
            return it.first != incarnation && view.role() == role && view.slot() == slot;
        });
    }

    // Null when there is none.
    const shm::BoardView* find(uint64_t incarnation) const {
        const auto found = boards_.find(incarnation);
        return found == boards_.end() ? nullptr : &found->second.view;
    }
    template <typename Fn>
    void for_each(Fn&& fn) const {
        for (const auto& [incarnation, entry] : boards_)
            fn(entry.view);
    }

  private:
    struct Entry {
        shm::Segment segment;
        shm::BoardView view;
    };
    std::map<uint64_t, Entry> boards_;  // by incarnation
};

}  // namespace bitnetd::frontend
