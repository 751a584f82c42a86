// Chat templates: a strict, sandboxed subset of Jinja2 that renders what Hugging Face's
// apply_chat_template renders (trim_blocks, lstrip_blocks, tojson without escaping). Frontend
// process; parse once when a model is loaded, render on pool threads when the input is large.
//   jinja/lexer, expression_parser, template_parser   source -> tree; what is not supported fails
//   here jinja/interpreter, evaluate                       tree + variables -> text, within a
//   budget jinja/value*, filters*, tests, methods, functions the language's values and builtins
// The subset: no include, import, extends, call blocks or recursive loops; macros at the top level
// only; keys of dicts are strings; upper and lower case change ASCII letters only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include <nlohmann/json.hpp>

#include "common/base/result.h"
#include "common/text/marked_text.h"

namespace bitnetd::text {

struct RenderOptions {
    // What strftime_now sees, in UTC; the clock when absent.
    std::optional<int64_t> now_unix_s;
    size_t output_bytes_max = 16u << 20;
    // A conversation of thousands of messages takes some hundred thousand steps; the default is
    // about a second on one core.
    uint64_t steps_max = 8'000'000;
};

class ChatTemplate {
  public:
    // `source` of at most 1 MiB. The error names the line and what is wrong or not supported.
    static Result<ChatTemplate> parse(std::string_view source);

    ChatTemplate(ChatTemplate&&) noexcept;
    ChatTemplate& operator=(ChatTemplate&&) noexcept;
    ~ChatTemplate();

    // `variables` is an object: messages, add_generation_prompt, tools, bos_token, eos_token and
    // what the caller adds. Its order of keys matters (tojson keeps it), so it is an ordered_json;
    // tools and documents count as none when absent. bos_token and eos_token are the model's; every
    // other string is marked as the user's, for Tokenizer::encode_prompt(). raise_exception(), type
    // errors and an exhausted budget are errors. Any thread; a render changes nothing here.
    Result<MarkedText> render(const nlohmann::ordered_json& variables,
                              const RenderOptions& options = {}) const;

  private:
    struct Impl;
    explicit ChatTemplate(std::unique_ptr<const Impl> impl);

    std::unique_ptr<const Impl> impl_;
};

}  // namespace bitnetd::text
