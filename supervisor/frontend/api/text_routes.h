// POST /tokenize, /detokenize and /apply-template: what the server makes of a text before and after
// a generation, for people and programs that count tokens or look at prompts. They are tools of
// whoever writes the whole text: /tokenize takes "<|eot_id|>" for the token unless parse_special is
// false, and the prompt of /apply-template is one string, in which nothing tells the template's
// words from a user's any more. Pure and bounded, like prepare(); large ones run on pool threads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "supervisor/frontend/api/errors.h"
#include "supervisor/frontend/api/generation_params.h"
#include "supervisor/frontend/api/model_catalog.h"

namespace bitnetd::frontend {

enum class TextRoute : uint8_t { kTokenize, kDetokenize, kApplyTemplate };

using TextAnswer = std::variant<std::string, ApiError>;  // the JSON body of a 200

TextAnswer answer_text_route(TextRoute route, std::string_view body, const ModelList& models,
                             const RequestLimits& limits);

}  // namespace bitnetd::frontend
