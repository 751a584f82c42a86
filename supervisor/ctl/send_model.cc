#include "supervisor/ctl/send_model.h"

#include "common/config/params.h"
#include "supervisor/lifecycle/model/model_files.h"

namespace bitnetd::supervisor {

Result<void> send_model(shm::Channel& channel, const ModelCommand& command) {
    BITNETD_ASSIGN(const auto files, open_model_files(command.model));
    Params settings;
    settings.log_level = "warn";  // its log goes to our standard error
    settings.model_i2s_layout = command.i2s_layout;
    settings.model_tl_tiles = command.tl_tiles;
    BITNETD_TRY(channel.send_text(shm::MessageType::kSettings, print_settings(settings)));
    for (const ModelFile& file : files) {
        const int fds[] = {file.fd.get()};
        BITNETD_TRY(channel.send(shm::MessageType::kModelFile, file.message(), fds));
    }
    return {};
}

}  // namespace bitnetd::supervisor
