#include "shm/board/board.h"

#include <new>
#include <string>

#include "shm/control/text_field.h"

namespace bitnetd::shm {
namespace {

bool is_role(Role role) {
    return role == Role::kSupervisor || role == Role::kFrontend || role == Role::kWorker;
}

}  // namespace

Result<void> init_board(std::span<std::byte> memory, const BoardIdentity& identity) {
    if (memory.size() < sizeof(Board)) {
        return invalid("a board needs " + std::to_string(sizeof(Board)) + " bytes, found " +
                       std::to_string(memory.size()));
    }
    if (!is_role(identity.role)) return invalid("a board of no known role");
    if (identity.device.size() >= sizeof(Board::device)) {
        return invalid("device \"" + std::string(identity.device) + "\" is longer than " +
                       std::to_string(sizeof(Board::device) - 1) + " bytes");
    }
    auto* board = new (memory.data()) Board{};
    board->role = identity.role;
    board->slot = identity.slot;
    board->incarnation = identity.incarnation;
    set_field(board->device, identity.device);
    // SYNC(board.ready): pairs with the acquire in check_board(). Whoever sees the version sees the
    // above.
    board->abi_version.store(kBoardAbiVersion, std::memory_order_release);
    return {};
}

Result<void> init_board(Segment& segment, const BoardIdentity& identity) {
    return init_board(segment.mutable_view(), identity);
}

Result<Fd> create_board(const BoardIdentity& identity) {
    BITNETD_ASSIGN(Fd fd, Segment::create_memfd("bitnetd-board", board_segment_bytes()));
    BITNETD_TRY(seal_size(fd.get()));
    BITNETD_ASSIGN(Segment segment, Segment::map(fd.get(), Access::kReadWrite));
    BITNETD_TRY(init_board(segment, identity));
    return fd;
}

Result<void> check_board(std::span<const std::byte> memory) {
    if (memory.size() < sizeof(Board)) {
        return invalid("board: a segment of " + std::to_string(memory.size()) +
                       " bytes, expected " + std::to_string(sizeof(Board)));
    }
    const auto& board = *reinterpret_cast<const Board*>(memory.data());
    // SYNC(board.ready): pairs with the release in init_board().
    const uint32_t version = board.abi_version.load(std::memory_order_acquire);
    if (version != kBoardAbiVersion) {
        return invalid("board: ABI version " + std::to_string(version) + ", expected " +
                       std::to_string(kBoardAbiVersion));
    }
    return {};
}

std::string_view to_string(Role role) noexcept {
    switch (role) {
        case Role::kSupervisor:
            return "supervisor";
        case Role::kFrontend:
            return "frontend";
        case Role::kWorker:
            return "worker";
    }
    return "unknown";
}

std::string_view to_string(ProcessState state) noexcept {
    switch (state) {
        case ProcessState::kStarting:
            return "starting";
        case ProcessState::kReady:
            return "ready";
        case ProcessState::kDraining:
            return "draining";
        case ProcessState::kStopped:
            return "stopped";
        case ProcessState::kDead:
            return "dead";
    }
    return "unknown";
}

}  // namespace bitnetd::shm
