// `bitnetctl model tokenize` and `render`: what a frontend does to a request's text, for a person
// at a terminal. The loader's process; text, JSON and template are as untrusted as the model.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/text/chat_template.h"
#include "common/text/tokenizer.h"
#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

inline constexpr uint64_t kTaskTextBytesMax = text::Tokenizer::kTextBytesMax;
inline constexpr uint64_t kTaskJsonBytesMax = 16u << 20;
inline constexpr uint64_t kTaskTemplateBytesMax = 1u << 20;

// "[1,2,3]" and a line end.
Result<std::string> tokenize_text(const ModelInput& input, std::string_view text,
                                  text::EncodeOptions options);

// The prompt, exactly. `variables`: a JSON object with messages; keys that the model itself gives
// (bos_token, eos_token) may be overridden. `source` is used instead of the model's template.
Result<std::string> render_prompt(const ModelInput& input, std::string_view variables,
                                  const std::optional<std::string>& source,
                                  const text::RenderOptions& options = {});

}  // namespace bitnetd::worker
