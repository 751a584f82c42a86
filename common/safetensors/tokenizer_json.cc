#include "common/safetensors/tokenizer_json.h"

#include <algorithm>
#include <optional>

#include "common/base/quote.h"
#include "common/safetensors/strict_json.h"

namespace bitnetd::safetensors {
namespace {

using nlohmann::json;

// Builds a document of everything but model.vocab and model.merges, which it takes apart. Called by
// the JSON parser for each token; false ends the parse with error().
class TokenizerSax final : public json::json_sax_t {
  public:
    json tree;
    TokenizerJson out;

    const std::optional<Error>& error() const { return error_; }

    bool null() override { return value(nullptr); }
    bool boolean(bool flag) override { return value(flag); }
    bool number_integer(json::number_integer_t number) override { return value(number); }
    bool number_float(json::number_float_t number, const std::string&) override {
        return value(number);
    }
    bool binary(json::binary_t&) override { return fail("binary data"); }

    bool number_unsigned(json::number_unsigned_t number) override {
        if (place_ != Place::kVocabulary) return value(number);
        if (number >= kTokensMax) {
            return fail("model.vocab gives token " + quote(key_) + " the id " +
                        std::to_string(number) + "; expected one below " +
                        std::to_string(kTokensMax));
        }
        out.vocabulary.emplace_back(std::move(key_), static_cast<uint32_t>(number));
        return true;
    }

    bool string(std::string& text) override {
        if (place_ == Place::kMerges) return add_merge_line(text);
        if (place_ == Place::kMerge) return add_merge_part(text);
        return value(std::move(text));
    }

    bool key(std::string& name) override {
        key_ = std::move(name);
        if (place_ == Place::kVocabulary) {
            if (out.vocabulary.size() == kTokensMax) return too_many("model.vocab", kTokensMax);
            return key_.size() <= kTokenBytesMax || too_long("model.vocab");
        }
        return !open_.back()->contains(key_) || fail("it repeats the key " + quote(key_));
    }

    bool start_object(size_t) override {
        if (place_ != Place::kTree) return misplaced("an object");
        if (is_in_model("vocab")) {
            place_ = Place::kVocabulary;
            return remember_key();
        }
        if (is_in_model("merges")) return misplaced("an object");
        return open(json::object());
    }
    bool end_object() override {
        if (place_ == Place::kVocabulary)
            place_ = Place::kTree;
        else
            open_.pop_back();
        return true;
    }

    bool start_array(size_t) override {
        if (place_ == Place::kMerges) {
            place_ = Place::kMerge;
            parts_ = 0;
            return add_merge();
        }
        if (place_ != Place::kTree) return misplaced("an array");
        if (is_in_model("vocab")) {
            error_ = unsupported(
                "model.vocab is a list, as Unigram models have it; only BPE vocabularies can be "
                "read");
            return false;
        }
        if (is_in_model("merges")) {
            place_ = Place::kMerges;
            return remember_key();
        }
        return open(json::array());
    }
    bool end_array() override {
        if (place_ == Place::kMerge) {
            place_ = Place::kMerges;
            return parts_ == 2 || bad_merge();
        }
        if (place_ == Place::kMerges)
            place_ = Place::kTree;
        else
            open_.pop_back();
        return true;
    }

    bool parse_error(size_t at, const std::string&, const json::exception&) override {
        if (!error_) error_ = invalid("it is not JSON at byte " + std::to_string(at));
        return false;
    }

  private:
    enum class Place : uint8_t { kTree, kVocabulary, kMerges, kMerge };

    // Whether the value that begins is model.<name>.
    bool is_in_model(std::string_view name) const {
        return open_.size() == 2 && model_ != nullptr && open_.back() == model_ && key_ == name;
    }
    // Leaves a mark, so that a second vocab or merges is found out.
    bool remember_key() { return put(true) != nullptr; }

    bool value(json&& content) {
        if (place_ != Place::kTree || is_in_model("merges") || is_in_model("vocab")) {
            return misplaced(content.type_name());
        }
        return put(std::move(content)) != nullptr;
    }

    json* put(json&& content) {
        if (++values_ > kTreeValuesMax) {
            too_many("it", kTreeValuesMax);
            return nullptr;
        }
        if (open_.empty()) return &(tree = std::move(content));
        json& parent = *open_.back();
        if (parent.is_object()) return &(parent[key_] = std::move(content));
        parent.push_back(std::move(content));
        return &parent.back();
    }

    bool open(json&& container) {
        if (open_.size() >= static_cast<size_t>(kJsonDepthMax)) {
            return fail("it is nested deeper than " + std::to_string(kJsonDepthMax));
        }
        const bool model = open_.size() == 1 && key_ == "model" && container.is_object();
        json* const place = put(std::move(container));
        if (place == nullptr) return false;
        if (model) model_ = place;
        open_.push_back(place);
        return true;
    }

    bool add_merge() {
        if (out.merges.size() == kMergesMax) return too_many("model.merges", kMergesMax);
        out.merges.emplace_back();
        return true;
    }
    // One of ["left", "right"].
    bool add_merge_part(std::string& text) {
        if (text.empty() || parts_ == 2) return bad_merge();
        if (text.size() > kTokenBytesMax) return too_long("model.merges");
        auto& [left, right] = out.merges.back();
        (parts_++ == 0 ? left : right) = std::move(text);
        return true;
    }
    // "left right"; neither holds a space.
    bool add_merge_line(std::string& line) {
        if (line.starts_with("#version")) return true;
        if (!add_merge()) return false;
        const size_t space = line.find(' ');
        if (space == 0 || space == std::string::npos || space + 1 == line.size() ||
            line.find(' ', space + 1) != std::string::npos) {
            return bad_merge();
        }
        if (line.size() > 2 * kTokenBytesMax) return too_long("model.merges");
        out.merges.back() = {line.substr(0, space), line.substr(space + 1)};
        return true;
    }

    bool bad_merge() {
        return fail("model.merges entry " + std::to_string(out.merges.size() - 1) +
                    ": expected \"left right\" or [\"left\", \"right\"]");
    }
    bool too_many(const std::string& what, size_t max) {
        return fail(what + " has more than " + std::to_string(max) + " entries");
    }
    bool too_long(const std::string& what) {
        return fail(what + " holds a text of more than " + std::to_string(kTokenBytesMax) +
                    " bytes");
    }
    bool misplaced(const std::string& what) {
        if (place_ == Place::kVocabulary) {
            return fail("model.vocab: expected the id of token " + quote(key_) + ", found " + what);
        }
        if (place_ == Place::kTree && key_ == "vocab") {
            return fail("model.vocab: expected an object, found " + what);
        }
        return fail("model.merges: expected a list of texts, found " + what);
    }
    bool fail(std::string what) {
        if (!error_) error_ = invalid(std::move(what));
        return false;
    }

    Place place_ = Place::kTree;
    std::vector<json*> open_;      // containers from the root to where we are
    const json* model_ = nullptr;  // among them, or gone by
    std::string key_;
    size_t values_ = 0;
    size_t parts_ = 0;  // of the merge being read
    std::optional<Error> error_;
};

Result<void> check_vocabulary(TokenizerJson& out) {
    auto& vocabulary = out.vocabulary;
    if (vocabulary.empty()) return invalid("model.vocab is missing or empty");
    std::sort(vocabulary.begin(), vocabulary.end());
    std::vector<const std::string*> texts(kTokensMax, nullptr);  // by id
    for (size_t i = 0; i < vocabulary.size(); ++i) {
        const auto& [text, id] = vocabulary[i];
        if (i > 0 && vocabulary[i - 1].first == text) {
            return invalid("model.vocab has token " + quote(text) + " twice");
        }
        if (texts[id] != nullptr) {
            return invalid("model.vocab gives the id " + std::to_string(id) + " to " +
                           quote(*texts[id]) + " and to " + quote(text));
        }
        texts[id] = &text;
    }
    return {};
}

Result<AddedToken> parse_added(const json& entry) {
    if (!entry.is_object()) return invalid("added_tokens: expected objects");
    const Fields fields(entry, "added_tokens[].");
    AddedToken out;
    BITNETD_ASSIGN(const auto id, fields.integer("id", 0, kTokensMax - 1));
    if (!id) return fields.wrong("id", "an integer");
    out.id = static_cast<uint32_t>(*id);
    BITNETD_FIELD(out.text, fields.text("content", kTokenBytesMax));
    if (out.text.empty()) return fields.wrong("content", "a text that is not empty");
    bool left = false;
    bool right = false;
    BITNETD_FIELD(left, fields.boolean("lstrip"));
    BITNETD_FIELD(right, fields.boolean("rstrip"));
    out.strips = left || right;
    BITNETD_FIELD(out.special, fields.boolean("special"));
    BITNETD_FIELD(out.single_word, fields.boolean("single_word"));
    return out;
}

Result<void> take_added(const json& tree, TokenizerJson& out) {
    const auto list = tree.find("added_tokens");
    if (list == tree.end() || list->is_null()) return {};
    if (!list->is_array()) return invalid("added_tokens: expected an array");
    std::vector<bool> seen(kTokensMax, false);
    for (const json& entry : *list) {
        BITNETD_ASSIGN(AddedToken token, parse_added(entry));
        if (seen[token.id]) {
            return invalid("added_tokens has the id " + std::to_string(token.id) + " twice");
        }
        seen[token.id] = true;
        out.added.push_back(std::move(token));
    }
    return {};
}

// An object of the top level; null when absent.
Result<void> take_object(json& tree, const char* name, json& out) {
    const auto at = tree.find(name);
    if (at == tree.end() || at->is_null()) return {};
    if (!at->is_object()) return invalid(std::string(name) + ": expected an object");
    out = std::move(*at);
    return {};
}

}  // namespace

Result<TokenizerJson> parse_tokenizer_json(std::string_view text) {
    if (text.size() > kTokenizerBytesMax) {
        return invalid("it has " + std::to_string(text.size()) + " bytes; at most " +
                       std::to_string(kTokenizerBytesMax) + " are read");
    }
    // The JSON reader takes a NUL for the end of its input.
    if (text.find('\0') != std::string_view::npos) return invalid("it holds a NUL");
    TokenizerSax sax;
    const bool parsed = json::sax_parse(text.begin(), text.end(), &sax);
    if (sax.error()) return *sax.error();
    if (!parsed || !sax.tree.is_object()) return invalid("it is not one JSON object");
    BITNETD_TRY(take_object(sax.tree, "model", sax.out.model));
    BITNETD_TRY(take_object(sax.tree, "normalizer", sax.out.normalizer));
    BITNETD_TRY(take_object(sax.tree, "pre_tokenizer", sax.out.pre_tokenizer));
    BITNETD_TRY(take_object(sax.tree, "post_processor", sax.out.post_processor));
    BITNETD_TRY(take_object(sax.tree, "decoder", sax.out.decoder));
    BITNETD_TRY(take_added(sax.tree, sax.out));
    BITNETD_TRY(check_vocabulary(sax.out));
    return std::move(sax.out);
}

}  // namespace bitnetd::safetensors
