// Goal: a path leads to all files of one model and to nothing else; what cannot be a model is
// refused with the path and what was expected.
// Method: folders made for each case: single files, split ones, checkpoints, links, and things that
// are no files.
#include "supervisor/lifecycle/model/model_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "shm/control/text_field.h"
#include "tests/unit/supervisor/lifecycle/test_server.h"

namespace bitnetd::supervisor {
namespace {

class ModelFiles : public ::testing::Test {
  protected:
    std::string path(const std::string& name) const { return folder_.path() + "/" + name; }
    void make(const std::string& name, const std::string& content = "x") {
        std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
        std::ofstream(path(name)) << content;
    }
    // The sorted names that `name` leads to, or the error.
    std::vector<std::string> names(const std::string& name) const {
        const auto files = open_model_files(path(name));
        if (!files.ok()) return {files.error().message};
        std::vector<std::string> out;
        for (const ModelFile& file : *files)
            out.push_back(file.name);
        std::sort(out.begin(), out.end());
        return out;
    }
    std::string refusal(const std::string& name) const {
        const auto files = open_model_files(path(name));
        return files.ok() ? "" : files.error().message;
    }
    void expect_refused(const std::string& name, const std::string& why) const {
        EXPECT_TRUE(refusal(name).starts_with(path(name))) << refusal(name);
        EXPECT_NE(refusal(name).find(why), std::string::npos) << refusal(name);
    }

    TemporaryFolder folder_;
};

using Names = std::vector<std::string>;

TEST_F(ModelFiles, OneFileIsItself) {
    make("m.gguf", "four");
    make("other.gguf");
    const auto files = open_model_files(path("m.gguf"));
    ASSERT_TRUE(files.ok()) << files.error().message;
    ASSERT_EQ(files->size(), 1u);
    EXPECT_EQ(files->front().bytes, 4u);
    EXPECT_EQ(total_bytes(*files), 4u);
    EXPECT_EQ(shm::field_text(files->front().message().name), "m.gguf");
    char text[8] = {};
    EXPECT_EQ(read(files->front().fd.get(), text, sizeof text), 4);
    EXPECT_EQ(std::string(text), "four");
}

TEST_F(ModelFiles, AnyPartLeadsToAllParts) {
    for (const char* name : {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
                             "m-00003-of-00003.gguf", "n-00001-of-00003.gguf", "m.gguf"}) {
        make(name);
    }
    const Names all{"m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"};
    for (const std::string& part : all)
        EXPECT_EQ(names(part), all);
    expect_refused("n-00001-of-00003.gguf",
                   "of the 3 parts of the model: 'n-00002-of-00003.gguf' is missing");
    make("huge-00001-of-99999.gguf");
    expect_refused("huge-00001-of-99999.gguf", "split into 99999 files; at most 512");
}

TEST_F(ModelFiles, ADirectoryWithOneGgufModelIsThatModel) {
    make("one/README.md");
    make("one/config.json");
    make("one/m.gguf");
    EXPECT_EQ(names("one"), Names{"m.gguf"});
    EXPECT_EQ(names("one/"), Names{"m.gguf"});
    make("split/m-00001-of-00002.gguf");
    make("split/m-00002-of-00002.gguf");
    EXPECT_EQ(names("split"), (Names{"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}));
    make("one/n.gguf");
    expect_refused("one", "holds 2 GGUF models; name one of them, for example 'm.gguf'");
    make("none/README.md");
    expect_refused("none", "holds no model: expected config.json and *.safetensors, or one *.gguf");
}

TEST_F(ModelFiles, ACheckpointHasItsKnownFiles) {
    const Names wanted{"1_Pooling/config.json",   "chat_template.jinja", "config.json",
                       "generation_config.json",  "model.safetensors",   "modules.json",
                       "special_tokens_map.json", "tokenizer.json",      "tokenizer_config.json"};
    for (const std::string& name : wanted)
        make("hf/" + name);
    for (const char* name : {"README.md", "pytorch_model.bin", "consolidated.safetensors",
                             "2_Normalize/config.json", "merges.txt"}) {
        make(std::string("hf/") + name);
    }
    EXPECT_EQ(names("hf"), wanted);
    std::filesystem::remove(path("hf/config.json"));
    expect_refused("hf", "'config.json' is missing");
}

TEST_F(ModelFiles, AShardedCheckpointHasAllItsShards) {
    const Names wanted{"config.json", "model-00001-of-00002.safetensors",
                       "model-00002-of-00002.safetensors", "model.safetensors.index.json"};
    for (const std::string& name : wanted)
        make("hf/" + name);
    EXPECT_EQ(names("hf"), wanted);
    for (int shard = 0; shard < 512; ++shard)
        make("hf/more-" + std::to_string(shard) + ".safetensors");
    expect_refused("hf", "more than 512 files");
}

TEST_F(ModelFiles, LinksToFilesAreFollowedAndNothingElse) {
    make("blobs/1234", "content");
    make("blobs/pooling/config.json");
    std::filesystem::create_directories(path("snapshot"));
    std::filesystem::create_symlink("../blobs/1234", path("snapshot/config.json"));
    std::filesystem::create_symlink("../blobs/1234", path("snapshot/model.safetensors"));
    // A folder below must be real, or its file would be one of somewhere else.
    std::filesystem::create_symlink("../blobs/pooling", path("snapshot/1_Pooling"));
    EXPECT_EQ(names("snapshot"), (Names{"config.json", "model.safetensors"}));
    // The parts of a linked part are looked for beside the link.
    std::filesystem::create_symlink("../blobs/1234", path("snapshot/m-00001-of-00001.gguf"));
    EXPECT_EQ(names("snapshot/m-00001-of-00001.gguf"), Names{"m-00001-of-00001.gguf"});
    std::filesystem::create_symlink("nowhere", path("dangling.gguf"));
    expect_refused("dangling.gguf", "No such file");
    std::filesystem::create_symlink("/dev/zero", path("snapshot/tokenizer.json"));
    expect_refused("snapshot", "'tokenizer.json' is not a regular file");
}

TEST_F(ModelFiles, OnlyRegularFilesWithContent) {
    make("empty.gguf", "");
    expect_refused("empty.gguf", "'empty.gguf' is empty");
    ASSERT_EQ(mkfifo(path("pipe.gguf").c_str(), 0600), 0);
    expect_refused("pipe.gguf", "'pipe.gguf' is not a regular file");
    expect_refused("absent.gguf", "No such file");
    std::filesystem::create_directories(path("hf/tokenizer.json"));
    make("hf/config.json");
    make("hf/model.safetensors");
    expect_refused("hf", "'tokenizer.json' is not a regular file");
}

}  // namespace
}  // namespace bitnetd::supervisor
