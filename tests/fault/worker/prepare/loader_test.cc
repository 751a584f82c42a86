// Goal: the real bitnetd-loader, confined as it is, turns a good file into two sealed segments,
// says why it refuses a bad one, and leaves nothing that could be mistaken for a model when it
// dies. Method: this test plays the supervisor: a socketpair, two memfds, the binary started on
// descriptor 3; for each CRASH label of load_segments.cc the loader is killed there
// (BITNETD_CRASH_AT).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/crash_point.h"
#include "common/config/exit_codes.h"
#include "common/config/params.h"
#include "common/text/vocabulary_image.h"
#include "shm/abi/weights_abi.h"
#include "shm/control/channel.h"
#include "shm/control/child_link.h"
#include "shm/control/text_field.h"
#include "shm/segment/segment.h"
#include "tests/support/golden.h"

namespace bitnetd {
namespace {

using shm::MessageType;

constexpr uint64_t kWatchdogNs = 60 * kNsPerS;
const char* const kDemoModel = "demo-model/bitnet-tiny-stories-5m-i2_s.gguf";

// A loader process, and what it was given.
class Loader {
  public:
    explicit Loader(const char* crash_label = nullptr) {
        auto pair = shm::Channel::make_pair();
        auto weights = shm::Segment::create_memfd("weights", 1);
        auto vocabulary = shm::Segment::create_memfd("vocabulary", 1);
        if (!pair.ok() || !weights.ok() || !vocabulary.ok())
            throw std::runtime_error("no descriptors");
        weights_ = std::move(weights).value();
        vocabulary_ = std::move(vocabulary).value();
        start(pair->second.get(), crash_label);
        channel_.emplace(std::move(pair->first));
    }
    ~Loader() {
        if (pid_ > 0) kill(pid_, SIGKILL);
        if (pid_ > 0) waitpid(pid_, nullptr, 0);
    }

    void send_load(const std::vector<std::filesystem::path>& paths, const Params& settings = {}) {
        if (!channel_->send_text(MessageType::kSettings, print_settings(settings)).ok()) {
            throw std::runtime_error("cannot send");
        }
        uint64_t bytes = 0;
        for (const auto& path : paths)
            bytes += send_file(path);
        send_order({bytes, static_cast<uint32_t>(paths.size()), 0});
    }
    void send_load(const std::filesystem::path& path, const Params& settings = {}) {
        send_load(std::vector{path}, settings);
    }

    void send_order(const shm::LoadMessage& load) {
        const int fds[] = {weights_.get(), vocabulary_.get()};
        if (!channel_->send(MessageType::kLoad, load, fds).ok()) {
            throw std::runtime_error("cannot send");
        }
    }

    // Its verdict, progress left out; the error when it went without one.
    Result<shm::Message> verdict() {
        for (;;) {
            BITNETD_ASSIGN(auto message, channel_->wait(monotonic_ns() + kWatchdogNs));
            if (message.type != MessageType::kLoadProgress) return message;
            ++progress_messages_;
        }
    }

    // Its exit code, or minus the signal.
    int wait_end() {
        int status = 0;
        const pid_t ended = waitpid(std::exchange(pid_, -1), &status, 0);
        if (ended < 0) throw std::runtime_error("waitpid failed");
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }

    shm::Channel& channel() { return *channel_; }
    void hang_up() { channel_.reset(); }
    int weights() const { return weights_.get(); }
    int vocabulary() const { return vocabulary_.get(); }
    int progress_messages() const { return progress_messages_; }

  private:
    uint64_t send_file(const std::filesystem::path& path) {
        const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
        if (!file) throw std::runtime_error("cannot open " + path.string());
        shm::ModelFileMessage named{};
        named.bytes = std::filesystem::file_size(path);
        shm::set_field(named.name, path.filename().string());
        const int fds[] = {file.get()};
        if (!channel_->send(MessageType::kModelFile, named, fds).ok()) {
            throw std::runtime_error("cannot send");
        }
        return named.bytes;
    }

    void start(int socket, const char* crash_label) {
        std::string crash = "BITNETD_CRASH_AT=";
        if (crash_label != nullptr) crash += crash_label;
        pid_ = fork();
        if (pid_ != 0) return;
        // The flag close-on-exec is not copied by dup2.
        if (socket == shm::kControlFd) fcntl(socket, F_SETFD, 0);
        if (socket != shm::kControlFd) dup2(socket, shm::kControlFd);
        char* environment[] = {crash_label != nullptr ? crash.data() : nullptr, nullptr};
        const std::string program = std::string(BITNETD_BINARY_DIR) + "/bitnetd-loader";
        execle(program.c_str(), "bitnetd-loader", nullptr, environment);
        _exit(127);
    }

    Fd weights_;
    Fd vocabulary_;
    std::optional<shm::Channel> channel_;
    pid_t pid_ = -1;
    int progress_messages_ = 0;
};

TEST(LoaderProcess, SealsTheDemoModel) {
    Loader loader;
    loader.send_load(tests::golden_path(kDemoModel));
    const auto verdict = loader.verdict();
    ASSERT_TRUE(verdict.ok()) << verdict.error().message;
    ASSERT_EQ(verdict->type, MessageType::kLoaded) << verdict->text();
    EXPECT_EQ(loader.wait_end(), kExitOk);
    EXPECT_GT(loader.progress_messages(), 2);
    const auto facts = verdict->as<shm::ModelFacts>();
    ASSERT_TRUE(facts.ok());
    EXPECT_STREQ(facts->quantization, "I2_S");
    ASSERT_EQ(facts->accuracy_count, 2u);
    EXPECT_STREQ(facts->accuracy[0].type, "F16");
    EXPECT_STREQ(facts->accuracy[1].type, "I2_S");
    EXPECT_GT(facts->accuracy[1].ratio, 0.999f);
    EXPECT_LT(facts->accuracy[1].ratio, 1.0f);
    ASSERT_TRUE(shm::check_weights_sealed(loader.weights()).ok());
    ASSERT_TRUE(shm::check_weights_sealed(loader.vocabulary()).ok());
    // The test's own descriptors are writable; a reader gets read-only ones.
    const auto weights_fd = shm::reopen_read_only(loader.weights());
    const auto vocabulary_fd = shm::reopen_read_only(loader.vocabulary());
    ASSERT_TRUE(weights_fd.ok() && vocabulary_fd.ok());
    const auto weights = shm::Segment::map(weights_fd->get(), shm::Access::kRead);
    const auto vocabulary = shm::Segment::map(vocabulary_fd->get(), shm::Access::kRead);
    ASSERT_TRUE(weights.ok() && vocabulary.ok());
    EXPECT_EQ(weights->bytes(), facts->weights_bytes);
    const auto* header = weights->as<const shm::WeightsHeader>();
    ASSERT_NE(header, nullptr);
    EXPECT_EQ(header->magic, shm::kWeightsMagic);
    const auto view = text::VocabularyView::open(vocabulary->view());
    ASSERT_TRUE(view.ok()) << view.error().message;
    EXPECT_EQ(view->token_count(), header->vocab);
}

TEST(LoaderProcess, SaysWhyItRefuses) {
    for (const char* name :
         {"hostile/dims-wrap.gguf", "hostile/unknown-architecture.gguf", "hostile/index.json"}) {
        Loader loader;
        loader.send_load(tests::golden_path(name));
        const auto verdict = loader.verdict();
        ASSERT_TRUE(verdict.ok()) << verdict.error().message;
        EXPECT_EQ(verdict->type, MessageType::kLoadFailed) << name;
        EXPECT_FALSE(verdict->text().empty());
        EXPECT_EQ(loader.wait_end(), kExitModelRefused) << name;
        EXPECT_FALSE(shm::check_weights_sealed(loader.weights()).ok());
    }
}

TEST(LoaderProcess, GoldenFullTakesAllPartsOfASplitModel) {
    std::vector<std::filesystem::path> parts;
    for (const char* name :
         {"llama-plain-BF16-00001-of-00002.gguf", "llama-plain-BF16-00002-of-00002.gguf"}) {
        parts.push_back(tests::large_golden_path(std::string("models/") + name));
    }
    if (!std::filesystem::exists(parts[0])) GTEST_SKIP() << parts[0] << " is not there";
    Loader whole;
    whole.send_load(parts);
    const auto loaded = whole.verdict();
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    ASSERT_EQ(loaded->type, MessageType::kLoaded) << loaded->text();
    EXPECT_EQ(loaded->as<shm::ModelFacts>()->file_bytes,
              std::filesystem::file_size(parts[0]) + std::filesystem::file_size(parts[1]));
    Loader half;
    half.send_load(parts[0]);
    const auto refused = half.verdict();
    ASSERT_TRUE(refused.ok()) << refused.error().message;
    EXPECT_EQ(refused->type, MessageType::kLoadFailed);
    EXPECT_NE(refused->text().find("missing: llama-plain-BF16-00002-of-00002.gguf"),
              std::string::npos)
        << refused->text();
}

TEST(LoaderProcess, RefusesAModelBelowTheMinimumAccuracy) {
    Params settings;
    settings.model_accuracy_min = "I2_S=0.99999999";
    Loader loader;
    loader.send_load(tests::golden_path(kDemoModel), settings);
    const auto verdict = loader.verdict();
    ASSERT_TRUE(verdict.ok()) << verdict.error().message;
    EXPECT_EQ(verdict->type, MessageType::kLoadFailed);
    const std::string why(verdict->text());
    EXPECT_NE(why.find("': accuracy ratio 0.999"), std::string::npos) << why;
    EXPECT_NE(why.find("expected 0.99999999 or more for I2_S"), std::string::npos) << why;
    EXPECT_EQ(loader.wait_end(), kExitModelRefused);
    EXPECT_FALSE(shm::check_weights_sealed(loader.weights()).ok());
}

TEST(LoaderProcess, DeathBeforeTheLastSealLeavesNoModel) {
    if (!kCrashPointsCompiled) GTEST_SKIP() << "this build has no crash points";
    for (const char* label : {"load.filled", "load.weights_sealed"}) {
        Loader loader(label);
        loader.send_load(tests::golden_path(kDemoModel));
        EXPECT_FALSE(loader.verdict().ok()) << label;
        EXPECT_EQ(loader.wait_end(), -SIGKILL) << label;
        EXPECT_FALSE(shm::check_weights_sealed(loader.vocabulary()).ok()) << label;
    }
    Loader again;
    again.send_load(tests::golden_path(kDemoModel));
    const auto verdict = again.verdict();
    ASSERT_TRUE(verdict.ok());
    EXPECT_EQ(verdict->type, MessageType::kLoaded);
}

TEST(LoaderProcess, EndsWithItsSupervisor) {
    Loader loader;
    loader.hang_up();
    EXPECT_EQ(loader.wait_end(), kExitLostSupervisor);
}

TEST(LoaderProcess, RefusesOrdersOutOfTurn) {
    Loader loader;
    ASSERT_TRUE(loader.channel().send(MessageType::kStart).ok());
    EXPECT_EQ(loader.wait_end(), kExitProtocol);
}

TEST(LoaderProcess, RefusesAnOrderWithoutItsFiles) {
    Loader loader;
    ASSERT_TRUE(loader.channel().send_text(MessageType::kSettings, print_settings(Params{})).ok());
    loader.send_order({1, 1, 0});
    EXPECT_EQ(loader.wait_end(), kExitProtocol);
}

}  // namespace
}  // namespace bitnetd
