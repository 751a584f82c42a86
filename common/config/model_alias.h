// Elements of server.alias: a second name for a model. The supervisor checks them before anything
// starts; frontends read the same list.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace bitnetd {

struct ModelAlias {
    std::string name;  // what clients may say, 1 .. 127 bytes
    std::string id;    // the model they get
};

// Whether `text` may be what clients call a model: letters, digits and "._:@/-", not beginning with
// '.' or '/'.
bool is_model_name(std::string_view text);

// NAME=ID.
Result<ModelAlias> parse_model_alias(std::string_view text);

// All of server.alias, for models of these ids. No name may be that of a model or be there twice,
// and each id must be one of them; the error says which there are.
Result<std::vector<ModelAlias>> check_model_aliases(const std::vector<std::string>& texts,
                                                    const std::vector<std::string>& model_ids);

}  // namespace bitnetd
