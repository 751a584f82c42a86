// The table of pre-tokenizers (tokenizers.md 3.1), in PCRE2 syntax. Patterns are pasted together
// from the blocks below. White space is spelled out, because PCRE2's own class differs at U+180E,
// and so is "any case", because PCRE2's would also take U+017F for s. Names that upstream knows and
// that are missing here are refused by name (vocabulary_from_gguf).
#include <algorithm>

#include "common/text/pre_tokenizer.h"

// clang-format off
#define WS   R"(\x09-\x0D\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})"
#define SP   "[" WS "]"
#define TAIL SP "+(?![^" WS "])|" SP "+"                    // spaces up to the last one, then any
#define CONTRACTION "'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])"
#define OTHER "[^" WS R"(\p{L}\p{N}])"                       // neither space, letter nor number
#define WORD R"([^\r\n\p{L}\p{N}]?\p{L}+)"
#define LINES SP R"(*[\r\n]+)"

#define GPT2 "'(?:s|t|re|ve|m|ll|d)| ?" R"(\p{L}+| ?\p{N}+)" "| ?" OTHER "+|" TAIL
#define LLAMA3_WITH(digits) CONTRACTION "|" WORD "|" digits "| ?" OTHER R"(+[\r\n]*)" "|" LINES "|" TAIL
#define LLAMA3 LLAMA3_WITH(R"(\p{N}{1,3})")
#define QWEN2  LLAMA3_WITH(R"(\p{N})")
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(end) R"([^\r\n\p{L}\p{N}]?)" UPPER "*" LOWER "+" end R"(|[^\r\n\p{L}\p{N}]?)" UPPER "+" LOWER "*" end
#define CASED_REST "| ?" OTHER R"(+[\r\n/]*)" "|" LINES "|" TAIL
#define PUNCTUATION R"([\p{P}\$\+<=>\^~\|`]+)"

// deepseek-llm's letters with case, its ASCII and wide punctuation, and its CJK block.
#define CASED_LETTERS "[" \
    R"(\x{41}-\x{5A}\x{61}-\x{7A}\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA})" \
    R"(\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377})" \
    R"(\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5})" \
    R"(\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5})" \
    R"(\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B})" \
    R"(\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D})" \
    R"(\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D})" \
    R"(\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4})" \
    R"(\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC})" \
    R"(\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115})" \
    R"(\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139})" \
    R"(\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B})" \
    R"(\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B})" \
    R"(\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF})" \
    R"(\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A})" \
    R"(\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2})" \
    R"(\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943})" "]"
#define DEEPSEEK_PUNCTUATION "[" R"(\x{21}-\x{2F}\x{3A}-\x{7E}\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002})" "]"
#define DEEPSEEK_CJK R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}])"

namespace bitnetd::text {

namespace {

constexpr std::string_view kLlama3Names[] = {"llama-bpe", "llama3", "llama-v3", "falcon-h1", "pixtral",
    "lfm2", "midm-2.0", "jina-v5-nano", "falcon3"};
constexpr std::string_view kDbrxNames[] = {"dbrx", "smaug-bpe", "glm4", "chatglm-bpe"};
constexpr std::string_view kQwen2Names[] = {"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "stablelm2",
    "hunyuan", "megrez", "solar-open", "grok-2"};
constexpr std::string_view kQwen35Names[] = {"qwen35"};
constexpr std::string_view kGpt2Names[] = {"gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "exaone4",
    "gigachat", "mellum", "modern-bert", "a.x-4.0", "granite-docling", "jina-v2-es", "jina-v2-de"};
constexpr std::string_view kStarcoderNames[] = {"starcoder", "refact", "command-r", "smollm", "codeshell",
    "exaone", "minerva-7b", "mellum2"};
constexpr std::string_view kFalconNames[] = {"falcon"};
constexpr std::string_view kFalconENames[] = {"falcon_e"};
constexpr std::string_view kDeepseekLlmNames[] = {"deepseek-llm"};
constexpr std::string_view kDeepseekCoderNames[] = {"deepseek-coder"};
constexpr std::string_view kDeepseekV3Names[] = {"deepseek-v3", "hunyuan-dense", "joyai-llm"};
constexpr std::string_view kTekkenNames[] = {"tekken"};
constexpr std::string_view kGpt4oNames[] = {"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"};
constexpr std::string_view kBailingNames[] = {"bailingmoe", "bailingmoe2", "llada-moe"};
constexpr std::string_view kBloomNames[] = {"poro-chat", "bloom", "gpt3-finnish"};
constexpr std::string_view kVikingNames[] = {"viking"};
constexpr std::string_view kSeedNames[] = {"seed-coder"};
constexpr std::string_view kDefaultNames[] = {"", "default"};

constexpr std::string_view kLlama3[] = {LLAMA3};
constexpr std::string_view kQwen2[] = {QWEN2};
constexpr std::string_view kQwen35[] = {CONTRACTION R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^)" WS
    R"(\p{L}\p{M}\p{N}]+[\r\n]*)" "|" LINES "|" TAIL};
constexpr std::string_view kGpt2[] = {GPT2};
constexpr std::string_view kStarcoder[] = {R"(\p{N})", GPT2};
constexpr std::string_view kFalcon[] = {PUNCTUATION, GPT2, "[0-9][0-9][0-9]"};
constexpr std::string_view kFalconE[] = {PUNCTUATION, GPT2, "[0-9]"};
// The look-behind gives the same matches as SP "+" alone would, without trying every start in a run.
constexpr std::string_view kDeepseekLlm[] = {R"([\r\n])", SP "?" CASED_LETTERS "+",
    SP "?" DEEPSEEK_PUNCTUATION "+", "(?<!" SP ")" SP R"(+\z)", DEEPSEEK_CJK "+", R"(\p{N}+)"};
constexpr std::string_view kDeepseekCoder[] = {R"([\r\n])", SP R"(?\p{L}+)", SP R"(?\p{P}+)",
    DEEPSEEK_CJK "+", R"(\p{N})"};
constexpr std::string_view kDeepseekV3[] = {R"(\p{N}{1,3})",
    R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)",
    R"re([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)re"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|)" LINES "|" TAIL};
constexpr std::string_view kTekken[] = {CASED("") R"(|\p{N})" CASED_REST};
constexpr std::string_view kGpt4o[] = {CASED("(?:" CONTRACTION ")?") R"(|\p{N}{1,3})" CASED_REST};
constexpr std::string_view kBailing[] = {"'(?:[sdmtSDMT]|[lL][lL]|[vV][eE]|[rR][eE])|" WORD R"(|\p{N}| ?)" OTHER
    R"(+[\r\n]*)" "|" SP R"(*[\r\n])" "|" TAIL};
#define BLOOM " ?[^(" WS R"re(|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+)re"
constexpr std::string_view kBloom[] = {BLOOM};
constexpr std::string_view kViking[] = {BLOOM, R"(\p{N})"};
constexpr std::string_view kSeed[] = {CONTRACTION "|" WORD R"(|\p{N}| ?[^)" WS R"(\p{L}\p{N}\r\n]+)" "|" LINES "|" TAIL};
constexpr std::string_view kDefault[] = {R"([\p{P}\$\+<=>\^~\|]+)", GPT2, R"(\p{N}+)", "[0-9][0-9][0-9]"};

constexpr PreTokenizerRow kRows[] = {
    // names              patterns        ignore_merges  add_bos
    {kLlama3Names,        kLlama3,        true,          true},
    {kDbrxNames,          kLlama3,        false,         false},
    {kQwen2Names,         kQwen2,         false,         false},
    {kQwen35Names,        kQwen35,        false,         false},
    {kGpt2Names,          kGpt2,          false,         false},
    {kStarcoderNames,     kStarcoder,     false,         false},
    {kFalconNames,        kFalcon,        false,         false},
    {kFalconENames,       kFalconE,       false,         false},
    {kDeepseekLlmNames,   kDeepseekLlm,   false,         false},
    {kDeepseekCoderNames, kDeepseekCoder, false,         false},
    {kDeepseekV3Names,    kDeepseekV3,    false,         false},
    {kTekkenNames,        kTekken,        true,          true},
    {kGpt4oNames,         kGpt4o,         false,         false},
    {kBailingNames,       kBailing,       false,         false},
    {kBloomNames,         kBloom,         false,         false},
    {kVikingNames,        kViking,        false,         false},
    {kSeedNames,          kSeed,          false,         false},
    {kDefaultNames,       kDefault,       false,         false},
};

}  // namespace

// clang-format on

const PreTokenizerRow* find_pre_tokenizer(std::string_view name) {
    for (const PreTokenizerRow& row : kRows) {
        if (std::find(row.names.begin(), row.names.end(), name) != row.names.end()) return &row;
    }
    return nullptr;
}

}  // namespace bitnetd::text
