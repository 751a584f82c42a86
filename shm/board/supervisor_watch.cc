#include "shm/board/supervisor_watch.h"

#include <algorithm>

namespace bitnetd::shm {

Result<void> SupervisorWatch::watch(int board_fd) {
    BITNETD_ASSIGN(Segment segment, Segment::map(board_fd, Access::kRead));
    BITNETD_ASSIGN(BoardView board, BoardView::open(segment));
    if (board.role() != Role::kSupervisor) return invalid("not the supervisor's board");
    segment_ = std::move(segment);
    board_.emplace(std::move(board));
    return {};
}

bool SupervisorWatch::is_gone(uint64_t now_ns) {
    if (!board_) return false;
    if (now_ns - asked_ns_ > timeout_ns_ / 2) fresh_since_ns_ = now_ns;
    asked_ns_ = now_ns;
    const uint64_t seen_ns = std::max(board_->heartbeat_ns(), fresh_since_ns_);
    return now_ns > seen_ns && now_ns - seen_ns > timeout_ns_;
}

}  // namespace bitnetd::shm
