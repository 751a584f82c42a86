#include "worker/prepare/hf_pipeline.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "common/base/quote.h"
#include "common/safetensors/strict_json.h"
#include "worker/prepare/hf_pre_tokenizer.h"

namespace bitnetd::worker {
namespace {

using nlohmann::json;
using safetensors::Fields;
using safetensors::TokenizerJson;

constexpr std::string_view kSpmSpace = "\u2581";

// One part of the pipeline, without the sequences around it.
struct Step {
    std::string type;
    Fields fields;
};

// `children`: what a sequence's list is called. Depth is bounded by the JSON reader.
Result<void> collect(const json& node, const std::string& part, std::string_view children,
                     std::vector<Step>& out) {
    if (node.is_null()) return {};
    if (!node.is_object()) return invalid(part + ": expected an object");
    Step step{"", Fields(node, part + ".")};
    BITNETD_FIELD(step.type, step.fields.text("type"));
    if (step.type != "Sequence") {
        out.push_back(std::move(step));
        return {};
    }
    const json* const list = step.fields.find(children);
    if (list == nullptr || !list->is_array()) return step.fields.wrong(children, "an array");
    for (const json& child : *list)
        BITNETD_TRY(collect(child, part, children, out));
    return {};
}

Error unknown(const std::string& part, const std::string& type) {
    return unsupported(part + ": " + quote(type) + " is not one that can be done");
}

// {"Regex": "..."} or {"String": "..."}; the view points into the document.
struct Pattern {
    std::string_view regex;
    std::string_view text;
};
Result<Pattern> read_pattern(const Fields& fields) {
    const json* const pattern = fields.find("pattern");
    if (pattern != nullptr && pattern->is_object() && pattern->size() == 1) {
        const auto only = pattern->begin();
        if (only->is_string()) {
            const std::string_view content = only->get_ref<const std::string&>();
            if (only.key() == "Regex") return Pattern{content, {}};
            if (only.key() == "String") return Pattern{{}, content};
        }
    }
    return fields.wrong("pattern", "{\"Regex\": text} or {\"String\": text}");
}

class Reader {
  public:
    explicit Reader(const TokenizerJson& tokenizer) : json_(tokenizer) {}

    Result<HfPipeline> read() {
        BITNETD_TRY(read_model());
        std::vector<Step> steps;
        BITNETD_TRY(collect(json_.pre_tokenizer, "pre_tokenizer", "pretokenizers", steps));
        out_.byte_level = std::any_of(steps.begin(), steps.end(),
                                      [](const Step& step) { return step.type == "ByteLevel"; });
        BITNETD_TRY(read_normalizer());
        if (out_.byte_level)
            BITNETD_TRY(read_byte_level(steps));
        else
            BITNETD_TRY(read_characters(steps));
        BITNETD_TRY(read_post_processor());
        return std::move(out_);
    }

  private:
    Result<void> read_model() {
        const Fields model(json_.model, "model.");
        std::string type = "BPE";  // files of old versions do not say
        BITNETD_FIELD(type, model.text("type"));
        if (type != "BPE") {
            return unsupported("model.type is " + quote(type) + "; only 'BPE' can be read");
        }
        for (const char* const name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
            std::string text;
            BITNETD_FIELD(text, model.text(name));
            if (!text.empty()) return unsupported(std::string("model.") + name + " is set");
        }
        double dropout = 0;
        BITNETD_FIELD(dropout, model.number("dropout", 0, 1));
        if (dropout != 0) return unsupported("model.dropout is set: the same text would differ");
        BITNETD_FIELD(byte_fallback_, model.boolean("byte_fallback"));
        BITNETD_FIELD(ignore_merges_, model.boolean("ignore_merges"));
        return {};
    }

    Result<void> read_normalizer() {
        std::vector<Step> steps;
        BITNETD_TRY(collect(json_.normalizer, "normalizer", "normalizers", steps));
        for (const Step& step : steps) {
            if (step.type == "NFC" && out_.byte_level) {
                out_.normalise_nfc = true;
            } else if (step.type == "Prepend" && !out_.byte_level) {
                std::string text;
                BITNETD_FIELD(text, step.fields.text("prepend"));
                if (text != kSpmSpace) return step.fields.wrong("prepend", "U+2581");
                out_.add_space_prefix = true;
            } else if (step.type == "Replace" && !out_.byte_level) {
                BITNETD_TRY(check_replaces_space(step.fields));
            } else {
                return unknown("normalizer", step.type);
            }
        }
        return {};
    }

    Result<void> check_replaces_space(const Fields& fields) {
        BITNETD_ASSIGN(const Pattern pattern, read_pattern(fields));
        std::string content;
        BITNETD_FIELD(content, fields.text("content"));
        if (pattern.text != " " || content != kSpmSpace) {
            return fields.wrong("pattern", "a space, and U+2581 as \"content\"");
        }
        spaces_replaced_ = true;
        return {};
    }

    Result<void> read_byte_level(const std::vector<Step>& steps) {
        std::vector<HfStep> known;
        for (const Step& step : steps) {
            BITNETD_ASSIGN(const HfStep read, read_byte_level_step(step));
            known.push_back(read);
        }
        BITNETD_ASSIGN(out_.pre, find_pre_name(known, ignore_merges_));
        return {};
    }

    static Result<HfStep> read_byte_level_step(const Step& step) {
        const Fields& fields = step.fields;
        if (step.type == "ByteLevel") {
            bool prefix = true;
            bool regex = true;
            BITNETD_FIELD(prefix, fields.boolean("add_prefix_space"));
            BITNETD_FIELD(regex, fields.boolean("use_regex"));
            if (prefix) return unsupported("pre_tokenizer: ByteLevel.add_prefix_space is true");
            return HfStep{regex ? HfStep::Kind::kByteLevelGpt2 : HfStep::Kind::kByteLevel, {}};
        }
        if (step.type == "Digits") {
            bool each = false;
            BITNETD_FIELD(each, fields.boolean("individual_digits"));
            return HfStep{each ? HfStep::Kind::kDigits : HfStep::Kind::kDigitRun, {}};
        }
        std::string behavior = "Isolated";
        BITNETD_FIELD(behavior, fields.text("behavior"));
        if (step.type == "Punctuation") {
            if (behavior != "Contiguous") return fields.wrong("behavior", "'Contiguous'");
            return HfStep{HfStep::Kind::kPunctuation, {}};
        }
        if (step.type != "Split") return unknown("pre_tokenizer", step.type);
        bool invert = false;
        BITNETD_FIELD(invert, fields.boolean("invert"));
        if (behavior != "Isolated" || invert) {
            return unsupported("pre_tokenizer: Split with behavior " + quote(behavior) +
                               (invert ? " and invert" : "") + "; expected 'Isolated'");
        }
        BITNETD_ASSIGN(const Pattern pattern, read_pattern(fields));
        if (pattern.regex.empty()) return fields.wrong("pattern", "{\"Regex\": text}");
        return HfStep{HfStep::Kind::kSplit, pattern.regex};
    }

    Result<void> read_characters(const std::vector<Step>& steps) {
        if (!byte_fallback_) {
            return unsupported(
                "pre_tokenizer has no ByteLevel and model.byte_fallback is not true; one of them "
                "is needed");
        }
        if (ignore_merges_) {
            return unsupported("model.ignore_merges is true together with byte_fallback");
        }
        for (const Step& step : steps) {
            if (step.type == "Metaspace")
                BITNETD_TRY(read_metaspace(step.fields));
            else
                BITNETD_TRY(check_never_cuts(step));
        }
        if (spaces_replaced_) return {};
        return unsupported("neither normalizer nor pre_tokenizer makes spaces U+2581");
    }

    // Gemma splits at spaces, of which the normalizer has left none.
    Result<void> check_never_cuts(const Step& step) const {
        if (step.type != "Split") return unknown("pre_tokenizer", step.type);
        BITNETD_ASSIGN(const Pattern pattern, read_pattern(step.fields));
        if (pattern.text == " " && spaces_replaced_) return {};
        return unsupported("pre_tokenizer: Split " +
                           quote(pattern.text.empty() ? pattern.regex : pattern.text) +
                           " is not done together with byte_fallback");
    }

    Result<void> read_metaspace(const Fields& fields) {
        std::string replacement(kSpmSpace);
        std::string scheme = "always";
        bool split = true;
        BITNETD_FIELD(replacement, fields.text("replacement"));
        BITNETD_FIELD(scheme, fields.text("prepend_scheme"));
        BITNETD_FIELD(split, fields.boolean("split"));
        if (replacement != kSpmSpace) return fields.wrong("replacement", "U+2581");
        if (scheme != "never" || split) {
            return unsupported("pre_tokenizer: Metaspace with prepend_scheme " + quote(scheme) +
                               " and split " + (split ? "true" : "false") +
                               "; only 'never' and false can be done: save the tokenizer with a "
                               "Prepend normalizer (legacy)");
        }
        spaces_replaced_ = true;
        return {};
    }

    Result<void> read_post_processor() {
        std::vector<Step> steps;
        BITNETD_TRY(collect(json_.post_processor, "post_processor", "processors", steps));
        bool seen = false;
        for (const Step& step : steps) {
            if (step.type == "ByteLevel") continue;  // about offsets, not ids
            if (step.type != "TemplateProcessing") return unknown("post_processor", step.type);
            if (std::exchange(seen, true)) {
                return unsupported("post_processor: more than one TemplateProcessing");
            }
            BITNETD_TRY(read_template(step.fields));
        }
        return {};
    }

    Result<void> read_template(const Fields& fields) {
        const json* const parts = fields.find("single");
        const auto wrong = [&] {
            return fields.wrong("single",
                                "the sequence A with at most one special token on each side");
        };
        if (parts == nullptr || !parts->is_array()) return wrong();
        bool behind = false;
        for (const json& part : *parts) {
            if (!part.is_object() || part.size() != 1) return wrong();
            if (part.contains("Sequence")) {
                if (std::exchange(behind, true)) return wrong();
                continue;
            }
            std::optional<uint32_t>& place = behind ? out_.last_id : out_.first_id;
            if (place || !part.contains("SpecialToken")) return wrong();
            const json& special = part["SpecialToken"];
            if (!special.is_object()) return wrong();
            std::string name;
            BITNETD_FIELD(name, Fields(special, "post_processor.single.").text("id"));
            BITNETD_ASSIGN(place, special_id(fields, name));
        }
        return behind ? Result<void>() : wrong();
    }

    static Result<uint32_t> special_id(const Fields& fields, const std::string& name) {
        std::vector<uint64_t> ids;
        BITNETD_ASSIGN(const auto specials, fields.object("special_tokens"));
        if (specials) {
            BITNETD_ASSIGN(const auto special, specials->object(name));
            if (special) {
                BITNETD_FIELD(ids, special->integers("ids", safetensors::kTokensMax - 1));
            }
        }
        if (ids.size() == 1) return static_cast<uint32_t>(ids[0]);
        return invalid("post_processor.special_tokens: expected one id for " + quote(name) +
                       ", found " + std::to_string(ids.size()));
    }

    const TokenizerJson& json_;
    HfPipeline out_;
    bool byte_fallback_ = false;
    bool ignore_merges_ = false;
    bool spaces_replaced_ = false;
};

}  // namespace

Result<HfPipeline> read_pipeline(const TokenizerJson& tokenizer) {
    if (!tokenizer.model.is_object()) return invalid("model is missing");
    return Reader(tokenizer).read();
}

}  // namespace bitnetd::worker
