#include "supervisor/lifecycle/handover/handover_version.h"

#include <cstdio>

#include "common/base/quote.h"
#include "common/config/exit_codes.h"
#include "shm/abi/board_abi.h"
#include "shm/abi/control_abi.h"
#include "shm/abi/records.h"
#include "shm/abi/ring_abi.h"
#include "shm/abi/weights_abi.h"
#include "supervisor/lifecycle/handover/snapshot.h"

namespace bitnetd::supervisor {

std::string handover_version() {
    std::string version = std::to_string(shm::kControlAbiVersion);
    for (const uint32_t number :
         {shm::kBoardAbiVersion, shm::kRingAbiVersion, shm::kRecordAbiVersion,
          shm::kWeightsAbiVersion, kSnapshotVersion}) {
        version += "." + std::to_string(number);
    }
    return version;
}

int answer_handover_check(std::string_view asked) {
    const std::string ours = handover_version();
    if (asked == ours) return kExitOk;
    std::fprintf(stderr,
                 "this build (" BITNETD_VERSION
                 ") takes over by hand-over version %s, the running one gives %s; "
                 "restart bitnetd to change to this build\n",
                 ours.c_str(), quote(asked).c_str());
    return kExitFailed;
}

}  // namespace bitnetd::supervisor
