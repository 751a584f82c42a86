#define PCRE2_CODE_UNIT_WIDTH 8
#include "common/text/pre_tokenizer.h"

#include <pcre2.h>

#include <string>
#include <utility>

namespace bitnetd::text {

namespace {

// One backtracking step per character of the longest text is normal; the limit only stops what is
// not.
constexpr uint32_t kMatchLimit = 64u << 20;
constexpr uint32_t kHeapLimitKib = 64u << 10;

struct FreeCode {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeContext {
    void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

std::string pcre2_message(int error) {
    PCRE2_UCHAR message[160];
    const int length = pcre2_get_error_message(error, message, sizeof message);
    return length < 0 ? "PCRE2 error " + std::to_string(error)
                      : std::string(reinterpret_cast<const char*>(message));
}

}  // namespace

struct PreTokenizer::Pattern {
    std::unique_ptr<pcre2_code, FreeCode> code;
    std::unique_ptr<pcre2_match_context, FreeContext> limits;

    static Result<Pattern> compile(std::string_view source) {
        int error = 0;
        PCRE2_SIZE at = 0;
        Pattern pattern;
        pattern.code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(),
                                         PCRE2_UTF | PCRE2_NO_AUTO_CAPTURE, &error, &at, nullptr));
        if (!pattern.code) {
            return Error{ErrorCode::kInternal, "pre-tokenizer pattern: " + pcre2_message(error) +
                                                   " at " + std::to_string(at)};
        }
        pattern.limits.reset(pcre2_match_context_create(nullptr));
        if (!pattern.limits) return Error{ErrorCode::kExhausted, "pre-tokenizer: out of memory"};
        pcre2_set_match_limit(pattern.limits.get(), kMatchLimit);
        pcre2_set_heap_limit(pattern.limits.get(), kHeapLimitKib);
        return pattern;
    }

    // Appends the matches in `piece` and the gaps between them.
    Result<void> cut(std::string_view piece, pcre2_match_data* data,
                     std::vector<std::string_view>& out) const {
        const auto* subject = reinterpret_cast<PCRE2_SPTR>(piece.data());
        size_t done = 0;
        while (done < piece.size()) {
            const int rc = pcre2_match(code.get(), subject, piece.size(), done, PCRE2_NO_UTF_CHECK,
                                       data, limits.get());
            if (rc == PCRE2_ERROR_NOMATCH) break;
            if (rc < 0) return Error{ErrorCode::kExhausted, "pre-tokenizer: " + pcre2_message(rc)};
            const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data);
            if (range[1] <= range[0]) break;  // no pattern of the table matches nothing
            if (range[0] > done) out.push_back(piece.substr(done, range[0] - done));
            out.push_back(piece.substr(range[0], range[1] - range[0]));
            done = range[1];
        }
        if (done < piece.size()) out.push_back(piece.substr(done));
        return {};
    }
};

PreTokenizer::PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

Result<PreTokenizer> PreTokenizer::create(std::string_view name) {
    const PreTokenizerRow* row = find_pre_tokenizer(name);
    if (row == nullptr) {
        return unsupported("pre-tokenizer \"" + std::string(name) +
                           "\" is not known to this build");
    }
    PreTokenizer result;
    for (const std::string_view source : row->patterns) {
        BITNETD_ASSIGN(Pattern pattern, Pattern::compile(source));
        result.patterns_.push_back(std::move(pattern));
    }
    return result;
}

Result<std::vector<std::string_view>> PreTokenizer::split(std::string_view text) const {
    std::vector<std::string_view> pieces, next;
    if (!text.empty()) pieces.push_back(text);
    const std::unique_ptr<pcre2_match_data, FreeMatch> data(pcre2_match_data_create(1, nullptr));
    if (!data) return Error{ErrorCode::kExhausted, "pre-tokenizer: out of memory"};
    for (const Pattern& pattern : patterns_) {
        next.clear();
        for (const std::string_view piece : pieces) {
            BITNETD_TRY(pattern.cut(piece, data.get(), next));
        }
        pieces.swap(next);
    }
    return pieces;
}

}  // namespace bitnetd::text
