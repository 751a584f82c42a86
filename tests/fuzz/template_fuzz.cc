// Goal: no template and no conversation make the interpreter crash, hang or take unbounded memory,
// and well-formed input gives text whose marks cover it exactly. Method: the input is a template,
// then optionally a NUL and the variables as JSON.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <nlohmann/json.hpp>

#include "common/text/chat_template.h"

namespace {

constexpr std::string_view kVariables = R"({
    "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true, "n": 3, "f": 2.5,
    "messages": [{"role": "system", "content": " Be kind. "}, {"role": "user", "content": "h\u00e9"},
        {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "x",
            "arguments": {"a": [1, 2.5, true, null]}}}]}],
    "tools": [{"type": "function", "function": {"name": "x", "parameters": {}}}]})";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const size_t split = input.find('\0');
    const auto chat = bitnetd::text::ChatTemplate::parse(input.substr(0, split));
    if (!chat.ok()) {
        if (chat.error().message.empty()) std::abort();
        return 0;
    }
    const std::string_view json =
        split == std::string_view::npos ? kVariables : input.substr(split + 1);
    const auto variables = nlohmann::ordered_json::parse(json, nullptr, false);
    if (variables.is_discarded()) return 0;
    const bitnetd::text::RenderOptions options{
        .now_unix_s = 1'770'127'509, .output_bytes_max = 1 << 20, .steps_max = 20'000};
    const auto text = chat->render(variables, options);
    if (!text.ok()) return 0;
    if (text->size() > options.output_bytes_max) std::abort();
    if (text->slice(0, text->size()).str() != text->str()) std::abort();
    return 0;
}
