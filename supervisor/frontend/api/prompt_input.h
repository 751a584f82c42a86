// What a client gives a model to read: `prompt` of /v1/completions and `input` of /v1/embeddings. A
// string, an array of strings, token ids or an array of such arrays become lists of ids. Pure and
// bounded; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/text/detokenizer.h"
#include "supervisor/frontend/api/generation_params.h"
#include "supervisor/frontend/api/model_catalog.h"

namespace bitnetd::frontend {

struct Prompt {
    std::shared_ptr<const std::vector<uint32_t>> ids;

    // With `echo`: the caller's text, or what the ids spell. Of the ids, own_begin .. own_end - 1
    // are the caller's; a BOS before and an EOS behind them were added.
    std::string echo = {};
    uint32_t own_begin = 0;
    uint32_t own_end = 0;
    text::DetokenizerOptions spelling = {};  // how the caller's ids spell `echo`
};

struct PromptField {
    std::string_view name;
    bool keeps_echo = false;
    bool may_be_empty = true;  // a text of no character: the model may still see a BOS
};

// Text gets BOS and EOS as the model asks for them, and special tokens may be written out in it: it
// is the whole text that the model sees. Ids are taken as they are, and are below the vocabulary's
// size. At most limits.flights_max prompts. Errors go to `fields`.
std::vector<Prompt> read_prompts(Fields& fields, const PromptField& field,
                                 const RequestLimits& limits, const Model& model);

// Each has at least one token and fits the model's context, with one more if an answer is wanted.
void check_prompt_sizes(Fields& fields, std::string_view name, const std::vector<Prompt>& prompts,
                        const Model& model, bool wants_answer);

}  // namespace bitnetd::frontend
