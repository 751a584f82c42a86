#include "supervisor/ctl/file_commands.h"

#include <CLI/CLI.hpp>
#include <vector>

#include "common/quant/tiles.h"
#include "supervisor/ctl/exit_help.h"

namespace bitnetd::supervisor {
namespace {

constexpr const char* kFileHelp =
    "A GGUF file, any part of a split one, or a folder with a checkpoint.";
const std::vector<std::string> kTernaryTypes = {"I2_S", "TQ2_0", "TQ1_0", "F16", "BF16", "F32"};
const std::vector<std::string> kFloatTypes = {"F16", "BF16", "F32", "Q8_0"};

const std::vector<std::string> kI2sLayouts = {"128/32", "64/16", "sequential"};

std::string tiles_error(const std::string& text) {
    const auto tiles = quant::parse_tiles(text);
    return tiles.ok() ? "" : tiles.error().message;
}

std::string joined(const std::vector<std::string>& names) {
    std::string out;
    for (const std::string& name : names)
        out += (out.empty() ? "" : ", ") + name;
    return out;
}

class FileCommands {
  public:
    FileCommands(CLI::App& model, ModelCommand& command) : command_(command) {
        add_info(model);
        add_verify(model);
        add_tokenize(model);
        add_render(model);
        add_convert(model);
    }

  private:
    CLI::App* add(CLI::App& model, const char* name, shm::Task task, const char* description,
                  const std::string& more) {
        CLI::App* sub = model.add_subcommand(name, description);
        sub->callback([&chosen = command_.task, task] { chosen = task; });
        sub->footer(more + "\n\n" + kExitHelp);
        sub->add_option("FILE", command_.model, kFileHelp)->required();
        return sub;
    }
    void add_json(CLI::App* sub, const char* help) { sub->add_flag("--json", command_.json, help); }

    void add_layout(CLI::App* sub) {
        sub->add_option(
               "--i2s-layout", command_.i2s_layout,
               "How I2_S weights are arranged: " + joined(kI2sLayouts) + ". Files do not say.")
            ->type_name("LAYOUT")
            ->capture_default_str()
            ->check(CLI::IsMember(kI2sLayouts).description(""));
        sub->add_option("--tl-tiles", command_.tl_tiles,
                        "Tiles of TL1 and TL2 matrices beside the published ones: "
                        "ROWSxCOLUMNS=BM,BK,bm[;...]. Files do not say.")
            ->type_name("TILES")
            ->check(CLI::Validator(tiles_error, ""));
    }

    void add_info(CLI::App& model) {
        CLI::App* sub = add(model, "info", shm::Task::kInfo,
                            "Print what a model is: architecture, shape, types, vocabulary, files.",
                            "Also describes models that this build does not serve, and says why it "
                            "does not.");
        add_json(sub, "One JSON object, with every key and tensor, instead of a table.");
    }
    void add_verify(CLI::App& model) {
        CLI::App* sub = add(
            model, "verify", shm::Task::kVerify, "Check a model completely, every weight of it.",
            "Checked are the container, the vocabulary, every key and tensor against "
            "what the\narchitecture predicts, and every value by decoding it. The "
            "check goes on after an error.\nThe JSON object is {file, ok, format, "
            "architecture, bytes, tensors, findings}; it is\nprinted for a refused "
            "model too.");
        add_json(sub, "One JSON object instead of text.");
        add_layout(sub);
    }
    void add_tokenize(CLI::App& model) {
        CLI::App* sub =
            add(model, "tokenize", shm::Task::kTokenize,
                "Turn the text on standard input into a JSON array of token ids.",
                "Works on files that hold a vocabulary only. A line end that closes the "
                "text belongs\nto it: printf gives a text without one.");
        sub->add_flag("--add-special", command_.add_special,
                      "Add BOS and EOS where the model wants them.");
        sub->add_flag("--parse-special", command_.parse_special,
                      "Take \"<|eot_id|>\" and the like in the text for the token.");
    }
    void add_render(CLI::App& model) {
        CLI::App* sub = add(model, "render", shm::Task::kRender,
                            "Apply the chat template to the JSON object on standard input.",
                            "The object has messages (an array) and may have tools, "
                            "add_generation_prompt (false when\nabsent) and other variables that "
                            "the template knows. The prompt is printed byte for byte,\nwithout a "
                            "line end of its own.");
        sub->add_option("--template", command_.template_path,
                        "A file with the template to use instead of the model's (Jinja).")
            ->type_name("FILE");
    }
    void add_convert(CLI::App& model) {
        CLI::App* sub = add(
            model, "convert", shm::Task::kConvert, "Write a model as one GGUF file.",
            "Ternary matrices are stored in --type without any loss where that type can hold them; "
            "where\nTQ1_0 or TQ2_0 must round a scale, the report says by how much. Everything "
            "else "
            "stays as it is.\nThe file appears under its name when it is complete; until then it "
            "is "
            "OUT.partial.");
        sub->add_option("OUT", command_.out, "The file to write.")->required();
        sub->add_option("--type", command_.ternary_type,
                        "Of ternary matrices: " + joined(kTernaryTypes) + ".")
            ->type_name("TYPE")
            ->capture_default_str()
            ->transform(CLI::IsMember(kTernaryTypes, CLI::ignore_case).description(""));
        sub->add_option("--floats", command_.float_type,
                        "Of other matrices (embedding, output, layers that are not ternary): " +
                            joined(kFloatTypes) + ". As stored when not given.")
            ->type_name("TYPE")
            ->transform(CLI::IsMember(kFloatTypes, CLI::ignore_case).description(""));
        sub->add_flag("--force", command_.force, "Replace OUT, and a left-over OUT.partial.");
        add_json(sub, "Print the report as one JSON object.");
        add_layout(sub);
    }

    ModelCommand& command_;
};

}  // namespace

void add_file_commands(CLI::App& model, ModelCommand& command) {
    FileCommands(model, command);
}

}  // namespace bitnetd::supervisor
