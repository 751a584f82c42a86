// Goal: a new file appears complete or not at all, and nothing that exists is lost unasked.
// Method: files in a folder of the test's own: existing, left over, locked, dropped, committed.
#include "supervisor/ctl/output_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace bitnetd::supervisor {
namespace {

class OutputFileTest : public testing::Test {
  protected:
    OutputFileTest() {
        std::string name = testing::TempDir() + "output-file-XXXXXX";
        folder_ = mkdtemp(name.data());
        path_ = folder_ + "/model.gguf";
    }
    ~OutputFileTest() override { std::filesystem::remove_all(folder_); }

    std::string partial() const { return path_ + ".partial"; }
    static void put(const std::string& path, const std::string& text) {
        std::ofstream(path) << text;
    }
    static std::string get(const std::string& path) {
        std::ifstream file(path);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    static void fill(const OutputFile& file, const std::string& text) {
        ASSERT_EQ(write(file.fd(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    }
    std::string refusal(bool replace) const {
        const auto file = OutputFile::create(path_, replace);
        return file.ok() ? "" : file.error().message;
    }

    std::string folder_;
    std::string path_;
};

TEST_F(OutputFileTest, AppearsWithCommit) {
    auto file = OutputFile::create(path_, false);
    ASSERT_TRUE(file.ok()) << file.error().message;
    fill(*file, "all of it");
    EXPECT_FALSE(std::filesystem::exists(path_));
    EXPECT_EQ(get(partial()), "all of it");
    ASSERT_TRUE(file->commit().ok());
    EXPECT_EQ(get(path_), "all of it");
    EXPECT_FALSE(std::filesystem::exists(partial()));
}

TEST_F(OutputFileTest, DroppedLeavesNothing) {
    {
        const auto file = OutputFile::create(path_, false);
        ASSERT_TRUE(file.ok());
    }
    EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(OutputFileTest, MovedIsOneFile) {
    {
        auto file = OutputFile::create(path_, false);
        ASSERT_TRUE(file.ok());
        OutputFile moved = std::move(*file);
        ASSERT_TRUE(moved.commit().ok());
    }
    EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(OutputFileTest, ExistingFilesAreKeptUnlessReplacingIsAsked) {
    put(path_, "old");
    EXPECT_NE(refusal(false).find("--force"), std::string::npos);
    EXPECT_EQ(get(path_), "old");
    auto file = OutputFile::create(path_, true);
    ASSERT_TRUE(file.ok()) << file.error().message;
    fill(*file, "new");
    EXPECT_EQ(get(path_), "old");
    ASSERT_TRUE(file->commit().ok());
    EXPECT_EQ(get(path_), "new");
}

TEST_F(OutputFileTest, AFileThatCameMeanwhileIsKept) {
    auto file = OutputFile::create(path_, false);
    ASSERT_TRUE(file.ok());
    put(path_, "of somebody else");
    const auto committed = file->commit();
    ASSERT_FALSE(committed.ok());
    EXPECT_NE(committed.error().message.find("File exists"), std::string::npos);
    EXPECT_EQ(get(path_), "of somebody else");
}

TEST_F(OutputFileTest, LeftOverPartialFilesAreReplacedWhenAsked) {
    put(partial(), "half");
    EXPECT_NE(refusal(false).find("an earlier run was interrupted"), std::string::npos);
    EXPECT_EQ(get(partial()), "half");
    EXPECT_EQ(refusal(true), "");
}

TEST_F(OutputFileTest, AFileThatIsBeingWrittenIsNeverReplaced) {
    const auto writing = OutputFile::create(path_, false);
    ASSERT_TRUE(writing.ok());
    EXPECT_NE(refusal(true).find("being written by another process"), std::string::npos);
    EXPECT_TRUE(std::filesystem::exists(partial()));
}

TEST_F(OutputFileTest, AFolderThatIsNotThereIsSaid) {
    const auto file = OutputFile::create(folder_ + "/absent/model.gguf", false);
    ASSERT_FALSE(file.ok());
    EXPECT_NE(file.error().message.find("absent/model.gguf.partial"), std::string::npos);
}

}  // namespace
}  // namespace bitnetd::supervisor
