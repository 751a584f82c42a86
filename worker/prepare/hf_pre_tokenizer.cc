// The pre-tokenizers of published models as their tokenizer.json spells them, beside the names that
// GGUF files have for them. The expressions are compared as text, never run: what is run is the row
// of common/text/pre_tokenizer_table.cc that the name stands for (tokenizers.md 3.1).
#include "worker/prepare/hf_pre_tokenizer.h"

#include <algorithm>

#include "common/text/pre_tokenizer.h"

namespace bitnetd::worker {
namespace {

// clang-format off
#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define LINES R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"
#define LLAMA3_WITH(digits) CONTRACTION R"(|[^\r\n\p{L}\p{N}]?\p{L}+|)" digits R"(| ?[^\s\p{L}\p{N}]+[\r\n]*)" LINES
#define UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define CASED(end) R"([^\r\n\p{L}\p{N}]?)" UPPER "*" LOWER "+" end R"(|[^\r\n\p{L}\p{N}]?)" UPPER "+" LOWER "*" end
#define CASED_REST R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*)" LINES
#define DEEPSEEK_CJK "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+"
#define DEEPSEEK_LETTERS "[" \
    "A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293" \
    "\u0295-\u02AF\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A" \
    "\u038C\u038E-\u03A1\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F\u0531-\u0556" \
    "\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B" \
    "\u1D6B-\u1D77\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D" \
    "\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE" \
    "\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4" \
    "\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128" \
    "\u212A-\u212D\u212F-\u2134\u2139\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184" \
    "\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B" \
    "\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17" \
    "\uFF21-\uFF3A\uFF41-\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3" \
    "\U000104D8-\U000104FB\U00010C80-\U00010CB2\U00010CC0-\U00010CF2" \
    "\U000118A0-\U000118DF\U0001E900-\U0001E943" "]+"

constexpr std::string_view kLlama3 = LLAMA3_WITH(R"(\p{N}{1,3})");
constexpr std::string_view kQwen2 = LLAMA3_WITH(R"(\p{N})");
constexpr std::string_view kQwen35 = CONTRACTION R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)" LINES;
constexpr std::string_view kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken = CASED("") R"(|\p{N})" CASED_REST;
constexpr std::string_view kGpt4o = CASED(CONTRACTION "?") R"(|\p{N}{1,3})" CASED_REST;
constexpr std::string_view kDeepseekV3 =
    R"re([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*)re" LINES;
constexpr std::string_view kDeepseekLetters = R"(\s?)" DEEPSEEK_LETTERS;
constexpr std::string_view kDeepseekPunctuation =
    R"(\s?)" "[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+";

using Step = HfStep;
using enum HfStep::Kind;

constexpr Step kByteLevelOnly = {kByteLevel, ""};
constexpr Step kGpt2Bytes = {kByteLevelGpt2, ""};
constexpr Step kPunctuated = {kPunctuation, ""};
constexpr Step kEachDigit = {kDigits, ""};
constexpr Step kDigitRuns = {kDigitRun, ""};
constexpr Step kThreeDigits = {kSplit, "[0-9][0-9][0-9]"};

constexpr Step kLlama3Steps[] = {{kSplit, kLlama3}, kByteLevelOnly};
constexpr Step kQwen2Steps[] = {{kSplit, kQwen2}, kByteLevelOnly};
constexpr Step kQwen35Steps[] = {{kSplit, kQwen35}, kByteLevelOnly};
constexpr Step kGpt2Steps[] = {kGpt2Bytes};
constexpr Step kGpt2SplitSteps[] = {{kSplit, kGpt2}, kByteLevelOnly};
constexpr Step kStarcoderSteps[] = {kEachDigit, kGpt2Bytes};
constexpr Step kFalconSteps[] = {kPunctuated, kGpt2Bytes, kDigitRuns, kThreeDigits};
// No merge of a vocabulary trained with them reaches over the pieces that these make beside those
// of their rows: a digit's neighbours, and digits that follow single ones.
constexpr Step kFalcon3Steps[] = {kPunctuated, kGpt2Bytes, kEachDigit};
constexpr Step kFalcon3LongSteps[] = {kPunctuated, kGpt2Bytes, kEachDigit, kThreeDigits};
constexpr Step kFalcon3SplitSteps[] = {kPunctuated, kGpt2Bytes, {kSplit, "[0-9]"}};
constexpr Step kDeepseekLlmSteps[] = {{kSplit, R"([\r\n])"}, {kSplit, kDeepseekLetters}, {kSplit, kDeepseekPunctuation},
    {kSplit, R"(\s+$)"}, {kSplit, DEEPSEEK_CJK}, kDigitRuns, kByteLevelOnly};
constexpr Step kDeepseekCoderSteps[] = {{kSplit, R"([\r\n])"}, {kSplit, R"(\s?\p{L}+)"}, {kSplit, R"(\s?\p{P}+)"},
    {kSplit, DEEPSEEK_CJK}, kEachDigit, kByteLevelOnly};
constexpr Step kDeepseekV3Steps[] = {{kSplit, R"(\p{N}{1,3})"}, {kSplit, "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+"},
    {kSplit, kDeepseekV3}, kByteLevelOnly};
constexpr Step kTekkenSteps[] = {{kSplit, kTekken}, kByteLevelOnly};
constexpr Step kGpt4oSteps[] = {{kSplit, kGpt4o}, kByteLevelOnly};

struct Row {
    std::span<const Step> steps;
    std::string_view name;
};
// Of rows with the same steps, the one that agrees on ignore_merges is taken, else the first.
constexpr Row kRows[] = {
    {kLlama3Steps, "llama-bpe"},
    {kLlama3Steps, "dbrx"},
    {kQwen2Steps, "qwen2"},
    {kQwen35Steps, "qwen35"},
    {kGpt2Steps, "gpt-2"},
    {kGpt2SplitSteps, "gpt-2"},
    {kStarcoderSteps, "starcoder"},
    {kFalconSteps, "falcon"},
    {kFalcon3Steps, "falcon_e"},
    {kFalcon3LongSteps, "falcon_e"},
    {kFalcon3SplitSteps, "falcon_e"},
    {kDeepseekLlmSteps, "deepseek-llm"},
    {kDeepseekCoderSteps, "deepseek-coder"},
    {kDeepseekV3Steps, "deepseek-v3"},
    {kTekkenSteps, "tekken"},
    {kGpt4oSteps, "gpt-4o"},
};
// clang-format on

// An expression, long as they are, for a message.
std::string show(std::string_view pattern) {
    constexpr size_t kBytesMax = 512;
    std::string out(pattern.substr(0, kBytesMax));
    for (char& c : out) {
        if (c < ' ' || c > '~') c = '?';
    }
    return "'" + out + (pattern.size() > kBytesMax ? "...'" : "'");
}

std::string show(std::span<const HfStep> steps) {
    constexpr size_t kShownMax = 8;
    const size_t shown = std::min(steps.size(), kShownMax);
    std::string out;
    for (const HfStep& step : steps.first(shown)) {
        if (!out.empty()) out += ", ";
        switch (step.kind) {
            case kSplit:
                out += "Split " + show(step.pattern);
                break;
            case kByteLevel:
                out += "ByteLevel";
                break;
            case kByteLevelGpt2:
                out += "ByteLevel with its own expression";
                break;
            case kPunctuation:
                out += "Punctuation";
                break;
            case kDigits:
                out += "Digits, each";
                break;
            case kDigitRun:
                out += "Digits, runs";
                break;
        }
    }
    if (shown < steps.size()) out += " and " + std::to_string(steps.size() - shown) + " more";
    return out;
}

}  // namespace

Result<std::string> find_pre_name(std::span<const HfStep> steps, bool ignore_merges) {
    std::string_view name;
    for (const Row& row : kRows) {
        if (!std::equal(steps.begin(), steps.end(), row.steps.begin(), row.steps.end())) continue;
        const bool agrees = text::find_pre_tokenizer(row.name)->ignore_merges == ignore_merges;
        if (name.empty() || agrees) name = row.name;
        if (agrees) break;
    }
    if (!name.empty()) return std::string(name);
    return unsupported("pre_tokenizer is none of the known ones: " + show(steps));
}

}  // namespace bitnetd::worker
