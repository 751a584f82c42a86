#include "supervisor/ctl/model_command.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <optional>
#include <vector>

#include "common/config/exit_codes.h"
#include "shm/control/text_field.h"
#include "supervisor/ctl/loader_session.h"
#include "supervisor/ctl/output_file.h"
#include "supervisor/ctl/send_model.h"
#include "supervisor/ctl/streams.h"

namespace bitnetd::supervisor {
namespace {

using shm::Task;

// What the loader accepts as text, JSON and template; refused here before it is copied.
constexpr uint64_t kTextBytesMax = 32u << 20;
constexpr uint64_t kJsonBytesMax = 16u << 20;
constexpr uint64_t kTemplateBytesMax = 1u << 20;

Result<Fd> read_standard_input(uint64_t bytes_max) {
    if (isatty(STDIN_FILENO) == 1) {
        std::fputs("bitnetctl: reading from the terminal; Ctrl-D on an empty line ends it\n",
                   stderr);
    }
    return read_to_memfd(STDIN_FILENO, "standard input", bytes_max);
}

Result<Fd> read_template(const std::string& path) {
    const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return io_error("open " + path, errno);
    return read_to_memfd(file.get(), path, kTemplateBytesMax);
}

// What the task reads beside the model.
Result<std::vector<Fd>> read_inputs(const ModelCommand& command) {
    std::vector<Fd> inputs;
    if (command.task == Task::kTokenize || command.task == Task::kRender) {
        const bool is_text = command.task == Task::kTokenize;
        BITNETD_ASSIGN(Fd input, read_standard_input(is_text ? kTextBytesMax : kJsonBytesMax));
        inputs.push_back(std::move(input));
    }
    if (!command.template_path.empty()) {
        BITNETD_ASSIGN(Fd source, read_template(command.template_path));
        inputs.push_back(std::move(source));
    }
    return inputs;
}

shm::TaskMessage message_of(const ModelCommand& command) {
    shm::TaskMessage message{};
    message.task = command.task;
    const std::pair<bool, shm::TaskFlags> flags[] = {
        {command.json, shm::kTaskJson},
        {command.add_special, shm::kTaskAddSpecial},
        {command.parse_special, shm::kTaskParseSpecial},
        {!command.template_path.empty(), shm::kTaskTemplate},
    };
    for (const auto& [wanted, flag] : flags) {
        if (wanted) message.flags |= flag;
    }
    shm::set_field(message.name, command.model);
    shm::set_field(message.ternary_type, command.ternary_type);
    shm::set_field(message.float_type, command.float_type);
    return message;
}

// A prompt is printed as it is; everything else is text that the loader made.
Printing printing_of(const ModelCommand& command) {
    return command.task == Task::kRender ? Printing::kExact : Printing::kPrintable;
}

// The task, and for convert the new file under its name. Signals wait meanwhile, so that what is
// unfinished can be taken away.
Result<TaskEnd> do_task(const ModelCommand& command, const std::vector<Fd>& inputs, int output) {
    BITNETD_ASSIGN(Interrupts interrupts, Interrupts::watch());
    BITNETD_ASSIGN(LoaderSession loader, LoaderSession::start());
    BITNETD_TRY(send_model(loader.channel(), command));
    std::vector<int> fds = {output};
    for (const Fd& input : inputs)
        fds.push_back(input.get());
    std::optional<OutputFile> file;
    if (command.task == Task::kConvert) {
        BITNETD_ASSIGN(OutputFile created, OutputFile::create(command.out, command.force));
        file.emplace(std::move(created));
        fds.push_back(file->fd());
    }
    ProgressLine progress = ProgressLine::on_standard_error();
    auto end = loader.run(message_of(command), fds, interrupts, progress);
    if (!end.ok()) return std::move(end).error().within(command.model);
    if (file && end->interrupted_by == 0) BITNETD_TRY(file->commit());
    return end;
}

Result<TaskEnd> run(const ModelCommand& command) {
    BITNETD_ASSIGN(const std::vector<Fd> inputs, read_inputs(command));
    BITNETD_ASSIGN(const Fd output, make_memfd("bitnetctl-output"));
    BITNETD_ASSIGN(const TaskEnd end, do_task(command, inputs, output.get()));
    if (end.interrupted_by == 0) {
        BITNETD_TRY(print_memfd(output.get(), STDOUT_FILENO, printing_of(command)));
    }
    return end;
}

}  // namespace

int run_model_command(const ModelCommand& command) {
    const auto end = run(command);
    if (!end.ok()) {
        std::fprintf(stderr, "bitnetctl: %s\n", end.error().message.c_str());
        return kExitFailed;
    }
    if (end->interrupted_by != 0) end_by(end->interrupted_by);
    return end->refused ? kExitFailed : kExitOk;
}

}  // namespace bitnetd::supervisor
