// Goal: a hostile vocabulary image is refused or harmless: no access outside it, every id within
// it, detokenized text always valid UTF-8. Method: the input is the image; when it opens, a fixed
// text and the input's own end are encoded and the ids printed again.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "common/text/detokenizer.h"
#include "common/text/tokenizer.h"
#include "common/text/utf8.h"

namespace {

using namespace bitnetd::text;

void encode_and_print(const Tokenizer& tokenizer, std::string_view text) {
    const auto ids = tokenizer.encode(text, {.add_special = true, .parse_special = true});
    if (!ids.ok()) return;
    Detokenizer detokenizer(tokenizer.vocabulary(), {.print_special = true});
    std::string out;
    for (const uint32_t id : *ids) {
        if (id >= tokenizer.vocabulary().token_count()) std::abort();
        detokenizer.push(id, out);
    }
    detokenizer.flush(out);
    if (!is_utf8(out)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::vector<std::byte> image(size);  // aligned, and its bounds known to the sanitizer
    if (size > 0) std::memcpy(image.data(), data, size);
    const auto view = VocabularyView::open(image);
    if (!view.ok()) return 0;
    const auto tokenizer = Tokenizer::create(*view);
    if (!tokenizer.ok()) return 0;
    encode_and_print(*tokenizer, "It's 1234 abcabc  \n\n\xC3\xA9\xFF<|eot|><u> ab");
    encode_and_print(*tokenizer, "e\u0301 5 \u20AC\u0323 \U0001F600 \uFB01");
    const size_t tail = size < 256 ? size : 256;
    encode_and_print(*tokenizer, {reinterpret_cast<const char*>(data) + size - tail, tail});
    return 0;
}
