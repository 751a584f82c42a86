#include "supervisor/docs/settings_pages.h"

#include "supervisor/docs/man_page.h"
#include "supervisor/docs/plain_text.h"

namespace bitnetd::supervisor {
namespace {

constexpr size_t kColumns = 100;

// As it stands in the file; also what is printed as the default.
std::string toml_value(const ParamRow& row) {
    if (row.is_list) return "[]";
    if (row.range_text.empty()) return "\"" + row.default_text + "\"";
    return row.default_text;
}

std::string facts(const ParamRow& row) {
    std::string text = std::string(row.help);
    if (!row.range_text.empty()) text += " Range: " + row.range_text + ".";
    return text;
}

}  // namespace

std::string_view reload_text(Reload reload) {
    switch (reload) {
        case Reload::kLive:
            return "A reload applies it at once.";
        case Reload::kFrontends:
            return "A reload replaces the frontends.";
        case Reload::kWorkers:
            return "A reload replaces the workers.";
        case Reload::kBoth:
            return "A reload replaces workers and frontends.";
        case Reload::kLoad:
            return "A reload prepares the models again.";
        case Reload::kAll:
            return "A reload prepares the models again and replaces the frontends.";
        case Reload::kModels:
            return "A reload loads, swaps and removes models.";
        case Reload::kListen:
            return "A reload opens and closes sockets.";
        case Reload::kRestart:
            return "Takes a restart.";
    }
    return {};
}

std::string example_file() {
    std::string text = wrapped(
        "Configuration of bitnetd: every setting, commented out at its default. See "
        "bitnetd.toml(5).",
        kColumns, "# ");
    text += wrapped(
        "Environment variables BITNETD_SECTION__KEY and flags --section.key win over this file. "
        "'bitnetd --check-config --config FILE' checks it, 'bitnetctl reload --wait' applies it "
        "without losing a request.",
        kColumns, "# ");
    text +=
        wrapped("server.model is the one setting without which nothing is served.", kColumns, "# ");
    std::string_view section;
    for (const ParamRow& row : param_rows()) {
        if (row.section != section) text += "\n[" + std::string(row.section) + "]\n";
        section = row.section;
        text +=
            "\n" + wrapped(facts(row) + " " + std::string(reload_text(row.reload)), kColumns, "# ");
        text += "#" + std::string(row.name) + " = " + toml_value(row) + "\n";
    }
    return text;
}

std::string settings_manual() {
    ManPage page("bitnetd.toml", 5, "configuration file of bitnetd");
    page.heading("DESCRIPTION");
    page.paragraph(
        "A TOML file given to bitnetd(8) by --config. Settings are keys of sections; numbers may "
        "hold underscores, lists are lists of texts. Each setting is also an environment variable "
        "BITNETD_SECTION__KEY (lists separated by commas) and a flag --section.key (lists by "
        "giving it again). Flags win over the environment, that over the file, that over the "
        "defaults; a list replaces the list below it.");
    page.paragraph(
        "A reload (bitnetctl reload, or SIGHUP) reads all of this again, checks it as a whole, "
        "and applies it only when all of it is right; otherwise it says which line is wrong. "
        "Where a rollout that it asks for fails, the rest of it is dropped and the next reload "
        "goes on from what there is. No request is lost whatever changes.");
    page.verbatim("[server]\nmodel = [\"/var/lib/bitnetd/models/model.gguf\"]\nworkers = 2\n");
    std::string_view section;
    for (const ParamRow& row : param_rows()) {
        if (row.section != section) page.heading("[" + std::string(row.section) + "]");
        section = row.section;
        page.item(row.key() + " = " + toml_value(row),
                  facts(row) + "\n" + std::string(reload_text(row.reload)));
    }
    page.heading("SEE ALSO");
    page.paragraph("bitnetd(8), bitnetctl(1)");
    return page.text();
}

}  // namespace bitnetd::supervisor
