#include "common/config/model_alias.h"

#include <algorithm>
#include <cctype>

namespace bitnetd {
namespace {

constexpr size_t kNameBytesMax = 127;

bool is_name_char(char c) {
    return isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("._:@/-").find(c) != std::string_view::npos;
}

std::string quoted(std::string_view text) {
    return "\"" + std::string(text) + "\"";
}

bool contains(const std::vector<std::string>& list, const std::string& text) {
    return std::find(list.begin(), list.end(), text) != list.end();
}

std::string joined(const std::vector<std::string>& ids) {
    std::string list;
    for (const std::string& id : ids)
        list += (list.empty() ? "" : ", ") + quoted(id);
    return list;
}

}  // namespace

bool is_model_name(std::string_view text) {
    return !text.empty() && text.front() != '.' && text.front() != '/' &&
           std::all_of(text.begin(), text.end(), is_name_char);
}

Result<ModelAlias> parse_model_alias(std::string_view text) {
    const size_t equals = text.find('=');
    if (equals == text.npos) {
        return invalid("server.alias: expected NAME=ID, found " + quoted(text));
    }
    ModelAlias alias{std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
    if (!is_model_name(alias.name) || alias.name.size() > kNameBytesMax) {
        return invalid("server.alias: " + quoted(text) +
                       ": a name has 1 to 127 letters, digits and ._:@/- and does not begin with "
                       ". or /");
    }
    return alias;
}

Result<std::vector<ModelAlias>> check_model_aliases(const std::vector<std::string>& texts,
                                                    const std::vector<std::string>& model_ids) {
    std::vector<ModelAlias> aliases;
    for (const std::string& text : texts) {
        BITNETD_ASSIGN(ModelAlias alias, parse_model_alias(text));
        if (!contains(model_ids, alias.id)) {
            return invalid("server.alias: " + quoted(text) + ": there is no model " +
                           quoted(alias.id) + "; there are " + joined(model_ids));
        }
        if (contains(model_ids, alias.name)) {
            return invalid("server.alias: " + quoted(text) + ": a model is called " +
                           quoted(alias.name) + " already");
        }
        for (const ModelAlias& other : aliases) {
            if (other.name != alias.name) continue;
            return invalid("server.alias: " + quoted(alias.name) + " is there twice, for " +
                           quoted(other.id) + " and " + quoted(alias.id));
        }
        aliases.push_back(std::move(alias));
    }
    return aliases;
}

}  // namespace bitnetd
