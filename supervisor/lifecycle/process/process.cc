#include "supervisor/lifecycle/process/process.h"

namespace bitnetd::supervisor {

Result<BoardHold> BoardHold::open(Fd fd) {
    BoardHold hold;
    hold.fd = std::move(fd);
    BITNETD_ASSIGN(hold.read_only, shm::reopen_read_only(hold.fd.get()));
    BITNETD_ASSIGN(hold.segment, shm::Segment::map(hold.fd.get(), shm::Access::kReadWrite));
    BITNETD_ASSIGN(hold.writer, shm::BoardWriter::open(hold.segment));
    BITNETD_ASSIGN(hold.view, shm::BoardView::open(hold.segment));
    return hold;
}

Result<BoardHold> BoardHold::make(const shm::BoardIdentity& identity, const BoardHold* previous) {
    BITNETD_ASSIGN(Fd fd, shm::create_board(identity));
    BITNETD_ASSIGN(BoardHold hold, open(std::move(fd)));
    if (previous != nullptr) shm::carry_over(*previous->view, *hold.writer);
    return hold;
}

}  // namespace bitnetd::supervisor
