#include "worker/tasks/task.h"

#include "common/base/clock.h"
#include "shm/control/text_field.h"
#include "worker/convert/convert.h"
#include "worker/inspect/info.h"
#include "worker/inspect/keys_json.h"
#include "worker/inspect/text_tasks.h"
#include "worker/inspect/verify.h"

namespace bitnetd::worker {
namespace {

using shm::Task;

constexpr uint64_t kProgressNs = 100 * kNsPerMs;

// One order, its parts checked.
struct Job {
    shm::TaskMessage message;
    const std::vector<Fd>& fds;
    std::vector<NamedSource> files;
    const PrepareOptions& options;
    const TaskProgress& progress;

    bool has(shm::TaskFlags flag) const { return (message.flags & flag) != 0; }
    Result<void> print(std::string_view text) const { return write_output(fds[0].get(), text); }
    Result<void> print_json(const nlohmann::ordered_json& json) const {
        return print(dump(json, 2) + "\n");
    }
    Result<std::unique_ptr<ModelInput>> open() {
        return open_model(std::move(files), options.layout);
    }
};

Result<bool> info(Job job) {
    const std::vector<FileSize> sizes = sizes_of(job.files);
    BITNETD_ASSIGN(const auto input, job.open());
    const nlohmann::ordered_json description = describe(*input, job.options.overrides, sizes);
    BITNETD_TRY(job.has(shm::kTaskJson) ? job.print_json(description)
                                        : job.print(info_text(description)));
    return false;
}

Result<bool> verify(Job job) {
    const std::string_view name = shm::field_text(job.message.name);
    const nlohmann::ordered_json report =
        verify(std::move(job.files), job.options, name, job.progress);
    BITNETD_TRY(job.has(shm::kTaskJson) ? job.print_json(report) : job.print(verify_text(report)));
    return !report["ok"].get<bool>();
}

Result<bool> tokenize(Job job) {
    BITNETD_ASSIGN(const std::string text,
                   read_input(job.fds[1].get(), "standard input", kTaskTextBytesMax));
    BITNETD_ASSIGN(const auto input, job.open());
    const text::EncodeOptions options{job.has(shm::kTaskAddSpecial),
                                      job.has(shm::kTaskParseSpecial)};
    BITNETD_ASSIGN(const std::string ids, tokenize_text(*input, text, options));
    BITNETD_TRY(job.print(ids));
    return false;
}

Result<bool> render(Job job) {
    BITNETD_ASSIGN(const std::string variables,
                   read_input(job.fds[1].get(), "standard input", kTaskJsonBytesMax));
    std::optional<std::string> source;
    if (job.has(shm::kTaskTemplate)) {
        BITNETD_ASSIGN(source, read_input(job.fds[2].get(), "the template", kTaskTemplateBytesMax));
    }
    BITNETD_ASSIGN(const auto input, job.open());
    BITNETD_ASSIGN(const std::string prompt, render_prompt(*input, variables, source));
    BITNETD_TRY(job.print(prompt));
    return false;
}

Result<bool> convert(Job job) {
    BITNETD_ASSIGN(const ConvertOptions options,
                   parse_convert_options(shm::field_text(job.message.ternary_type),
                                         shm::field_text(job.message.float_type)));
    BITNETD_ASSIGN(const auto input, job.open());
    BITNETD_ASSIGN(const ConvertReport report,
                   convert(*input, options, job.fds[1].get(), job.progress));
    BITNETD_TRY(job.has(shm::kTaskJson) ? job.print_json(to_json(report))
                                        : job.print(report_text(report)));
    return false;
}

// Descriptors that come with a task, the output first.
size_t fds_of(const shm::TaskMessage& message) {
    switch (message.task) {
        case Task::kTokenize:
        case Task::kConvert:
            return 2;
        case Task::kRender:
            return (message.flags & shm::kTaskTemplate) != 0 ? 3 : 2;
        default:
            return 1;
    }
}

// Passes on what is worth a message: ten a second.
TaskProgress progress_to(shm::Channel& channel) {
    return [&channel, told_ns = uint64_t{0}](std::string_view phase, uint64_t done_bytes,
                                             uint64_t total_bytes) mutable {
        const uint64_t now_ns = monotonic_ns();
        if (now_ns - told_ns < kProgressNs) return;
        told_ns = now_ns;
        shm::TaskProgressMessage news{done_bytes, total_bytes, {}};
        shm::set_field(news.phase, phase);
        // Whoever is gone is noticed with the outcome.
        static_cast<void>(channel.send(shm::MessageType::kTaskProgress, news));
    };
}

}  // namespace

Result<void> send_reason(shm::Channel& channel, shm::MessageType type, const Error& error) {
    return channel.send_text(type, std::string_view(error.message).substr(0, kReasonBytesMax));
}

Result<bool> run_task(const shm::Message& order, std::vector<NamedSource> files,
                      const PrepareOptions& options, const TaskProgress& progress) {
    BITNETD_ASSIGN(const auto message, order.as<shm::TaskMessage>());
    BITNETD_TRY(order.expect_fds(fds_of(message)));
    Job job{message, order.fds, std::move(files), options, progress};
    switch (message.task) {
        case Task::kInfo:
            return info(std::move(job));
        case Task::kVerify:
            return verify(std::move(job));
        case Task::kTokenize:
            return tokenize(std::move(job));
        case Task::kRender:
            return render(std::move(job));
        case Task::kConvert:
            return convert(std::move(job));
    }
    return invalid("task " + std::to_string(static_cast<uint32_t>(message.task)) +
                   " is not known to this loader");
}

Result<void> serve_task(shm::Channel& channel, const shm::Message& order,
                        std::vector<NamedSource> files, const PrepareOptions& options) {
    const auto refused = run_task(order, std::move(files), options, progress_to(channel));
    if (!refused.ok()) {
        BITNETD_TRY(send_reason(channel, shm::MessageType::kTaskFailed, refused.error()));
        return refused.error();
    }
    return channel.send(shm::MessageType::kTaskDone, shm::TaskDoneMessage{*refused ? 1u : 0u, 0});
}

}  // namespace bitnetd::worker
