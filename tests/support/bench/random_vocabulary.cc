#include "tests/support/bench/random_vocabulary.h"

#include <string>
#include <vector>

#include "common/text/byte_alphabet.h"

namespace bitnetd::bench {
namespace {

constexpr uint32_t kBytes = 256;
constexpr uint32_t kControls = 256;

constexpr const char* kTemplate =
    "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ message['role'] + ': ' + message['content'] + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}";

// Code points below 2048.
std::string utf8(uint32_t code_point) {
    if (code_point < 0x80) return {static_cast<char>(code_point)};
    return {static_cast<char>(0xC0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 63))};
}

std::string control_name(uint32_t index) {
    if (index == 0) return "<|begin_of_text|>";
    if (index == 1) return "<|end_of_text|>";
    if (index == 9) return "<|eot_id|>";
    return "<|reserved_special_token_" + std::to_string(index) + "|>";
}

struct Words {
    std::vector<std::string> tokens;
    std::vector<std::string> merges;

    // The words of `shorter` with one more letter each, as long as there is room.
    std::vector<std::string> lengthen(const std::vector<std::string>& shorter, size_t tokens_max) {
        std::vector<std::string> longer;
        for (const std::string& word : shorter) {
            for (char letter = 'a'; letter <= 'z' && tokens.size() < tokens_max; ++letter) {
                longer.push_back(word + letter);
                tokens.push_back(longer.back());
                merges.push_back(word + ' ' + letter);
            }
        }
        return longer;
    }
};

}  // namespace

void add_random_vocabulary(uint32_t size, gguf::Writer& writer) {
    Words words;
    for (uint32_t byte = 0; byte < kBytes; ++byte)
        words.tokens.push_back(utf8(text::byte_to_alphabet(static_cast<uint8_t>(byte))));
    std::vector<std::string> last;
    for (char letter = 'a'; letter <= 'z'; ++letter)
        last.emplace_back(1, letter);
    const uint32_t first_control = size - kControls;
    while (words.tokens.size() < first_control)
        last = words.lengthen(last, first_control);
    for (uint32_t index = 0; index < kControls; ++index)
        words.tokens.push_back(control_name(index));

    std::vector<int32_t> types(size, 1);
    std::fill(types.begin() + first_control, types.end(), 3);  // control
    writer.add_text("tokenizer.ggml.model", "gpt2");
    writer.add_text("tokenizer.ggml.pre", "llama-bpe");
    writer.add_texts("tokenizer.ggml.tokens", words.tokens);
    writer.add_i32s("tokenizer.ggml.token_type", types);
    writer.add_texts("tokenizer.ggml.merges", words.merges);
    writer.add_u32("tokenizer.ggml.bos_token_id", first_control);
    writer.add_u32("tokenizer.ggml.eos_token_id", first_control + 1);
    writer.add_text("tokenizer.chat_template", kTemplate);
}

}  // namespace bitnetd::bench
