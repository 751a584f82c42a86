// Preparing a generation: a request body becomes checked parameters and prompt token ids. The one
// place where a client's JSON, chat template and tokenizer meet. Pure and bounded; large ones run
// on pool threads, so it must not touch anything but its arguments.
//   request_json.h -> generation_params.h -> chat_prompt.cc | prompt_input.h -> Prepared
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "supervisor/frontend/api/errors.h"
#include "supervisor/frontend/api/generation_params.h"
#include "supervisor/frontend/api/model_catalog.h"
#include "supervisor/frontend/api/prompt_input.h"

namespace bitnetd::frontend {

struct Prepared {
    RouteKind route = RouteKind::kChat;
    GenerationParams params;
    std::shared_ptr<const Model> model;
    std::vector<Prompt> prompts;  // at least one

    // Prompt + answer end here: max_tokens, capped to what is left of the context.
    uint32_t position_limit(const Prompt& prompt) const;
};

using PrepareResult = std::variant<Prepared, ApiError>;

PrepareResult prepare(RouteKind route, std::string_view body, const ModelList& models,
                      const RequestLimits& limits);

// The same for one model, whatever the request names.
PrepareResult prepare_for(RouteKind route, std::string_view body,
                          std::shared_ptr<const Model> model, const RequestLimits& limits);

// A conversation as chat templates take it.
struct Conversation {
    OrderedJson messages;  // an array
    OrderedJson tools;     // an array, or null
    bool add_generation_prompt = true;
};

// The fields `messages` and, where the route has it, `tools`. Errors go to `fields`.
OrderedJson read_messages(Fields& fields);
OrderedJson read_tools(Fields& fields);
// The prompt that the model's template makes of it; nothing, and an error in `fields`, when the
// model has no template or its template refuses.
std::optional<text::MarkedText> render_conversation(Fields& fields, const RequestLimits& limits,
                                                    const Model& model, Conversation conversation);

// The prompt of a chat. Errors go to `fields`.
void read_chat_prompt(Fields& fields, const RequestLimits& limits, Prepared& prepared);

}  // namespace bitnetd::frontend
