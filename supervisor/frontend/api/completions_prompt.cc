// POST /v1/completions: `prompt` as a string, an array of strings, token ids or an array of them.
#include "common/text/detokenizer.h"
#include "supervisor/frontend/api/prepare.h"

namespace bitnetd::frontend {
namespace {

constexpr std::string_view kPromptForms =
    "a string, an array of strings, an array of token ids or an array of such arrays";

class PromptReader {
  public:
    PromptReader(Fields& fields, const RequestLimits& limits, Prepared& prepared)
        : fields_(fields), limits_(limits), prepared_(prepared) {}

    void read(const OrderedJson& prompt) {
        if (prompt.is_string()) return add_text(prompt.get_ref<const std::string&>());
        if (!prompt.is_array() || prompt.empty()) return fields_.wrong("prompt", kPromptForms);
        if (prompt[0].is_number()) return add_ids(prompt);
        if (prompt.size() > limits_.flights_max) {
            return fields_.wrong("prompt",
                                 "at most " + std::to_string(limits_.flights_max) + " prompts");
        }
        for (const OrderedJson& one : prompt) {
            if (fields_.failed()) return;
            if (one.is_string() && prompt[0].is_string()) {
                add_text(one.get_ref<const std::string&>());
            } else if (one.is_array() && prompt[0].is_array()) {
                add_ids(one);
            } else {
                fields_.wrong("prompt", kPromptForms);
            }
        }
    }

  private:
    // BOS as the model asks for it. Special tokens may be written out: a prompt of this route is
    // the whole text that the model sees.
    void add_text(const std::string& text) {
        text_bytes_ += text.size();
        if (text_bytes_ > limits_.text_bytes_max) {
            return fields_.wrong(
                "prompt", "text of at most " + std::to_string(limits_.text_bytes_max) + " bytes");
        }
        auto ids =
            prepared_.model->tokenizer.encode(text, {.add_special = true, .parse_special = true});
        if (!ids.ok()) return fields_.fail(invalid_value("prompt", ids.error().message));
        add(std::move(ids).value(), prepared_.params.echo ? text : std::string());
    }

    void add_ids(const OrderedJson& list) {
        std::vector<uint32_t> ids;
        ids.reserve(list.size());
        for (const OrderedJson& id : list) {
            if (!id.is_number_unsigned() || id.get<uint64_t>() >= prepared_.model->vocab) {
                return fields_.wrong("prompt", "ids below the vocabulary's size of " +
                                                   std::to_string(prepared_.model->vocab));
            }
            ids.push_back(id.get<uint32_t>());
        }
        std::string echo;
        if (prepared_.params.echo) {
            text::Detokenizer detokenizer(prepared_.model->vocabulary());
            for (const uint32_t id : ids)
                detokenizer.push(id, echo);
            detokenizer.flush(echo);
        }
        add(std::move(ids), std::move(echo));
    }

    void add(std::vector<uint32_t> ids, std::string echo) {
        prepared_.prompts.push_back(
            {std::make_shared<const std::vector<uint32_t>>(std::move(ids)), std::move(echo)});
    }

    Fields& fields_;
    const RequestLimits& limits_;
    Prepared& prepared_;
    uint64_t text_bytes_ = 0;
};

}  // namespace

void read_completions_prompt(Fields& fields, const RequestLimits& limits, Prepared& prepared) {
    const OrderedJson* prompt = fields.find("prompt");
    if (prompt == nullptr) return fields.fail(missing_field("prompt"));
    PromptReader(fields, limits, prepared).read(*prompt);
}

}  // namespace bitnetd::frontend
