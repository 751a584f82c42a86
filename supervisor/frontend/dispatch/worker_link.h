// WorkerLink: the WorkerPort over the real thing, the two rings, the doorbell and the board of one
// worker incarnation (shm::PeerMessage). What it reads is copied and checked: the worker may be
// dying or hostile. Destroying it unmaps everything. Loop thread only. If this process dies here,
// the worker drops the flights of this frontend incarnation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>

#include "common/base/result.h"
#include "shm/board/board.h"
#include "shm/control/channel.h"
#include "shm/ring/doorbell.h"
#include "shm/ring/ring_reader.h"
#include "shm/ring/ring_writer.h"
#include "shm/segment/segment.h"
#include "supervisor/frontend/dispatch/submission.h"
#include "supervisor/frontend/dispatch/worker_port.h"

namespace bitnetd::frontend {

class WorkerLink final : public WorkerPort {
  public:
    // Of a kPeer message: maps its rings and board. `own_incarnation` is this frontend's.
    static Result<std::unique_ptr<WorkerLink>> open(shm::Message peer, uint64_t own_incarnation);

    void submit(const Flight& flight, uint64_t now_ns) noexcept override;
    void cancel(uint64_t flight, uint32_t attempt) noexcept override;
    bool drain(WorkerEvents& events) noexcept override;
    bool has_records() noexcept override { return reader_->has_records(); }
    void pump() noexcept override;
    bool is_behind() const noexcept override { return !kept_.empty(); }
    bool is_ready() const noexcept override;
    WorkerLoad load() const noexcept override;
    bool is_in_step_plan(uint64_t flight) const noexcept override;

  private:
    explicit WorkerLink(uint64_t own_incarnation) : own_incarnation_(own_incarnation) {}
    void send(OutRecord record) noexcept;

    const uint64_t own_incarnation_;
    shm::Segment requests_;
    shm::Segment tokens_;
    shm::Segment board_segment_;
    std::optional<shm::RingWriter> writer_;
    std::optional<shm::RingReader> reader_;
    std::optional<shm::BoardView> board_;
    std::optional<shm::Doorbell> doorbell_;  // behind board_segment_, which it looks at
    std::deque<OutRecord> kept_;             // did not fit
};

// One token-ring record to its event. False: not as agreed.
bool deliver_record(shm::RecordType type, std::span<const std::byte> payload, WorkerEvents& events);

}  // namespace bitnetd::frontend
