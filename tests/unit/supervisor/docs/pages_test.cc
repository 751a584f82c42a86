// Goal: what is generated from the tables is complete and valid: the example file is a
// configuration, the manual pages name everything and hold nothing that roff would misread, the
// completion offers what the command line accepts. Method: the generators of this build; the
// example file is read back, completion runs in bash.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "common/config/params.h"
#include "shm/inspect/command_line.h"
#include "supervisor/ctl/command_line.h"
#include "supervisor/docs/cli_tree.h"
#include "supervisor/docs/command_pages.h"
#include "supervisor/docs/man_page.h"
#include "supervisor/docs/plain_text.h"
#include "supervisor/docs/settings_pages.h"
#include "supervisor/lifecycle/settings/command_line.h"

namespace bitnetd::supervisor {
namespace {

class Folder {
  public:
    Folder() {
        std::string name =
            (std::filesystem::temp_directory_path() / "bitnetd-test-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
        path_ = name;
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(path_ + "/" + name) << text;
        return path_ + "/" + name;
    }

  private:
    std::string path_;
};

// What `make` makes of the command line that `visit` shows.
template <typename Visit, typename Make>
auto made(Visit visit, Make make) {
    decltype(make(std::declval<const CLI::App&>())) out;
    visit([&](const CLI::App& app) { out = make(app); });
    return out;
}

std::string manual_of_ctl() {
    return made(visit_ctl_command_line, control_manual);
}

// Texts in roff have their hyphens escaped.
std::string in_roff(std::string text) {
    return std::regex_replace(text, std::regex("-"), "\\-");
}

TEST(ExampleFile, IsAConfigurationOfDefaults) {
    const Folder folder;
    std::istringstream lines(example_file());
    std::string line, uncommented;
    size_t settings = 0;
    while (std::getline(lines, line)) {
        EXPECT_LE(line.size(), 100u) << line;
        const bool is_setting = std::regex_search(line, std::regex("^#[a-z0-9_]+ = "));
        EXPECT_TRUE(is_setting || line.empty() || line.starts_with("# ") || line.starts_with("["))
            << line;
        uncommented += (is_setting ? line.substr(1) : line) + "\n";
        settings += is_setting ? 1 : 0;
    }
    EXPECT_EQ(settings, param_rows().size());

    Params params;
    ParamOrigins origins;
    const auto read = read_toml(params, origins, folder.write("b.toml", uncommented));
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_TRUE(changed_rows(Params{}, params).empty());
    for (const ParamRow& row : param_rows())
        EXPECT_FALSE(origins.of(row.key()).empty()) << row.key();
}

TEST(SettingsManual, NamesEveryRowItsRangeAndWhatAChangeTakes) {
    const std::string page = settings_manual();
    for (const ParamRow& row : param_rows()) {
        const size_t at = page.find(".B \"" + row.key() + " = ");
        ASSERT_NE(at, std::string::npos) << row.key();
        const std::string entry = page.substr(at, page.find("\n.", at + 1) - at);
        EXPECT_NE(entry.find("Range: " + row.range_text), row.range_text.empty() ? 0 : entry.npos)
            << entry;
        EXPECT_NE(entry.find(in_roff(std::string(reload_text(row.reload)))), entry.npos) << entry;
    }
}

TEST(CommandManuals, NameEveryCommandAndOption) {
    const std::string page = manual_of_ctl();
    const CliCommand root = made(visit_ctl_command_line, cli_tree);
    const auto commands = leaves(root);
    EXPECT_GE(commands.size(), 18u);
    for (const CliCommand* command : commands) {
        const std::string title = ".SS \"" + in_roff(command->synopsis()) + "\"\n";
        const size_t at = page.find(title);
        ASSERT_NE(at, std::string::npos) << title;
        const std::string entry = page.substr(at, page.find("\n.S", at + 1) - at);
        for (const CliOption& option : command->options) {
            for (const std::string& flag : option.flags) {
                if (option.flags.back() == "--help") continue;
                EXPECT_NE(entry.find(in_roff(flag)), entry.npos) << title << flag;
            }
        }
    }
    const std::string server = made(visit_command_line, server_manual);
    for (const char* word : {"--config", "--check-config", "--print-effective-config", "--version",
                             "--workers", "SIGHUP", "SIGUSR2", "bitnetd.toml(5)"}) {
        EXPECT_NE(server.find(in_roff(word)), std::string::npos) << word;
    }
    const shm::DumpCommandLine line;
    const std::string dump = dump_manual(line.app);
    for (const char* word : {"--control FILE", "--json", "--version", "BITNETD_SERVER__CONTROL"}) {
        EXPECT_NE(dump.find(in_roff(word)), std::string::npos) << word;
    }
}

// Of bitnetd's own: the others are its children's.
TEST(CommandManuals, NameTheExitCodesOfTheirProgram) {
    const auto codes = [](const std::string& page) {
        const size_t at = page.find("EXIT STATUS");
        const std::string part = page.substr(at, page.find("SEE ALSO") - at);
        std::vector<int> found;
        const std::regex item("\\.B \"([0-9]+)\"");
        for (std::sregex_iterator it(part.begin(), part.end(), item), end; it != end; ++it)
            found.push_back(std::stoi((*it)[1]));
        return found;
    };
    EXPECT_EQ(codes(made(visit_command_line, server_manual)), (std::vector{0, 2, 3, 4, 10}));
    EXPECT_EQ(codes(manual_of_ctl()), (std::vector{0, 1, 2, 6}));
}

// A page holds only the requests that ManPage writes, whatever the texts are.
TEST(ManPages, TextsAreNotTakenForRequests) {
    ManPage page("x", 1, "a-b \\ c");
    page.paragraph(".SH not a heading\n'br\n\\fBplain\\fR - end");
    page.item("say \"x\" --flag", ".TH");
    EXPECT_NE(page.text().find("x \\- a\\-b \\e c\n"), std::string::npos);
    EXPECT_NE(page.text().find("\\&.SH not a heading\n\\&'br\n\\efBplain\\efR \\- end\n"),
              std::string::npos);
    EXPECT_NE(page.text().find(".B \"say \\(dqx\\(dq \\-\\-flag\"\n\\&.TH\n"), std::string::npos);
    for (const std::string& text :
         {settings_manual(), manual_of_ctl(), made(visit_command_line, server_manual)}) {
        std::istringstream lines(text);
        std::string line;
        while (std::getline(lines, line)) {
            if (!line.starts_with('.') && !line.starts_with('\'')) continue;
            EXPECT_TRUE(
                std::regex_search(line, std::regex("^\\.(TH|SH|SS|PP|TP|B|RS|RE|EX|EE)( |$)")))
                << line;
        }
    }
}

TEST(PlainText, IsWrappedAtSpaces) {
    EXPECT_EQ(wrapped("aa bb cc", 7, "# "), "# aa bb\n# cc\n");
    EXPECT_EQ(wrapped("aa", 80, "# "), "# aa\n");
    EXPECT_EQ(wrapped("", 80, "# "), "");
    EXPECT_EQ(wrapped("longer-than-wide x", 5, ""), "longer-than-wide\nx\n");
}

// What bash offers behind `words`, the last of which is being typed.
std::string offered(const std::string& script, const std::vector<std::string>& words) {
    const Folder folder;
    std::string run = "source " + folder.write("completion.bash", script) + "\nCOMP_WORDS=(";
    for (const std::string& word : words)
        run += " '" + word + "'";
    run +=
        ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_" + words[0] + "\necho \"${COMPREPLY[@]}\"\n";
    const std::string command = "bash -u " + folder.write("run.bash", run) + " 2>&1";
    std::string out;
    FILE* pipe = popen(command.c_str(), "r");
    char part[4096];
    while (pipe != nullptr && fgets(part, sizeof part, pipe) != nullptr)
        out += part;
    EXPECT_EQ(pclose(pipe), 0) << out;
    return out;
}

TEST(BashCompletion, OffersWhatTheCommandLineAccepts) {
    if (std::system("bash -c true") != 0) GTEST_SKIP() << "no bash here";
    const std::string ctl = made(visit_ctl_command_line, bash_completion);
    EXPECT_EQ(offered(ctl, {"bitnetctl", "stat"}), "status\n");
    EXPECT_EQ(offered(ctl, {"bitnetctl", "model", "ro"}), "rollback\n");
    EXPECT_EQ(offered(ctl, {"bitnetctl", "model", "swap", "--str"}), "--strategy\n");
    EXPECT_EQ(offered(ctl, {"bitnetctl", "reload", "--w"}), "--wait\n");
    // Behind an option with a value, and where a file is meant, bash offers names of files.
    EXPECT_EQ(offered(ctl, {"bitnetctl", "reload", "--control", "--w"}), "\n");
    EXPECT_EQ(offered(ctl, {"bitnetctl", "model", "info", "x"}), "\n");
    // A value that is called like a command is none.
    EXPECT_EQ(offered(ctl, {"bitnetctl", "model", "info", "model", "--js"}), "--json\n");
    const std::string server = made(visit_command_line, bash_completion);
    EXPECT_EQ(offered(server, {"bitnetd", "--kv.t"}), "--kv.type\n");
    EXPECT_EQ(offered(server, {"bitnetd", "--config", ""}), "\n");
}

}  // namespace
}  // namespace bitnetd::supervisor
