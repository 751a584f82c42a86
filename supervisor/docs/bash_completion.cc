#include "supervisor/docs/cli_tree.h"
#include "supervisor/docs/command_pages.h"
#include "supervisor/docs/plain_text.h"

namespace bitnetd::supervisor {
namespace {

// "/model/info" of "bitnetctl model info".
std::string path_below_root(const CliCommand& command) {
    std::string path;
    size_t at = command.path.find(' ');
    while (at != std::string::npos) {
        const size_t next = command.path.find(' ', at + 1);
        path += "/" + command.path.substr(at + 1, next - at - 1);
        at = next;
    }
    return path;
}

void add_commands(const CliCommand& command, std::string& cases, std::vector<std::string>& paths,
                  std::vector<std::string>& with_value) {
    std::vector<std::string> options, names;
    const std::string path = path_below_root(command);
    for (const CliOption& option : command.options) {
        for (const std::string& flag : option.flags) {
            options.push_back(flag);
            if (!option.value.empty()) with_value.push_back("'" + path + "' '" + flag + "'");
        }
    }
    for (const CliCommand& below : command.commands) {
        const std::string below_path = path_below_root(below);
        names.push_back(below_path.substr(path.size() + 1));
        paths.push_back(below_path);
    }
    cases += "        '" + path + "')\n            options='" + joined(options, " ") +
             "'\n            commands='" + joined(names, " ") + "' ;;\n";
    for (const CliCommand& below : command.commands)
        add_commands(below, cases, paths, with_value);
}

}  // namespace

std::string bash_completion(const CLI::App& app) {
    const CliCommand root = cli_tree(app);
    std::string cases;
    std::vector<std::string> paths, with_value;
    add_commands(root, cases, paths, with_value);
    const std::string name = "_" + root.path;

    std::string text = "# bash completion for " + root.path + "\n" + name + "() {\n";
    text +=
        "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
        "    local path= options= commands= i\n"
        "    COMPREPLY=()\n";
    if (!paths.empty()) {
        text +=
            "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
            "        case \"$path/${COMP_WORDS[i]}\" in\n            " +
            joined(paths, " | \\\n            ") +
            ") path=$path/${COMP_WORDS[i]} ;;\n"
            "        esac\n    done\n";
    }
    text += "    case \"'$path' '$before'\" in  # a value: names of files are offered\n";
    for (const std::string& pair : with_value)
        text += "        \"" + pair + "\") return ;;\n";
    text += "    esac\n";
    text += "    case $path in\n" + cases + "    esac\n";
    text +=
        "    if [[ $word == -* ]]; then\n"
        "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
        "    else\n"
        "        COMPREPLY=($(compgen -W \"$commands\" -- \"$word\"))\n"
        "    fi\n}\n";
    return text + "complete -o bashdefault -o default -F " + name + " " + root.path + "\n";
}

}  // namespace bitnetd::supervisor
