// Goal: no tokenizer.json makes the loader crash, read out of bounds or take memory the input does
// not justify; what it accepts becomes a vocabulary that a frontend can open and encode with, or a
// refusal that says why.
// Method: the input is the file; tokenizer_config.json and the model's sizes are fixed. What is
// accepted goes all the way to ids of a fixed text, as in production.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/text/tokenizer.h"
#include "worker/prepare/hf_tokenizer.h"
#include "worker/prepare/vocabulary_from_gguf.h"

namespace {

using namespace bitnetd;

template <typename T>
bool accepted(const Result<T>& result) {
    if (!result.ok() && result.error().message.empty()) std::abort();
    return result.ok();
}

void encode(const text::VocabularyView& vocabulary) {
    const auto tokenizer = text::Tokenizer::create(vocabulary);
    if (!accepted(tokenizer)) return;
    const auto ids = tokenizer->encode("It's 1234 abcabc  \n\n\xC3\xA9\xFF<s><u> ab",
                                       {.add_special = true, .parse_special = true});
    if (!accepted(ids)) return;
    for (const uint32_t id : *ids) {
        if (id >= vocabulary.token_count()) std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    safetensors::ModelConfig model;
    model.vocab_size = 512;
    model.eos_ids = {2, 3};
    worker::HfTokenizerTexts texts;
    texts.tokenizer.assign(reinterpret_cast<const char*>(data), size);
    texts.tokenizer_config = R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}})";
    gguf::Metadata keys;
    if (!accepted(worker::add_tokenizer_keys(texts, model, keys))) return 0;
    const auto image = worker::vocabulary_from_gguf(keys);
    if (!accepted(image)) return 0;
    const auto view = text::VocabularyView::open(*image);
    if (!view.ok() || view->token_count() != model.vocab_size) std::abort();
    encode(*view);
    return 0;
}
