#include "supervisor/frontend/api/prompt_input.h"

namespace bitnetd::frontend {
namespace {

constexpr std::string_view kPromptForms =
    "a string, an array of strings, an array of token ids or an array of such arrays";

class PromptReader {
  public:
    PromptReader(Fields& fields, const PromptField& field, const RequestLimits& limits,
                 const Model& model)
        : fields_(fields), field_(field), limits_(limits), model_(model) {}

    std::vector<Prompt> read(const OrderedJson& value) {
        if (value.is_string())
            add_text(value.get_ref<const std::string&>());
        else if (!value.is_array() || value.empty())
            wrong(kPromptForms);
        else if (value[0].is_number())
            add_ids(value);
        else
            read_list(value);
        return std::move(prompts_);
    }

  private:
    void read_list(const OrderedJson& list) {
        if (list.size() > limits_.flights_max) {
            return wrong("at most " + std::to_string(limits_.flights_max) + " of them");
        }
        for (const OrderedJson& one : list) {
            if (fields_.failed()) return;
            if (one.is_string() && list[0].is_string())
                add_text(one.get_ref<const std::string&>());
            else if (one.is_array() && list[0].is_array())
                add_ids(one);
            else
                wrong(kPromptForms);
        }
    }

    void add_text(const std::string& text) {
        if (text.empty() && !field_.may_be_empty) return wrong("text of at least one character");
        text_bytes_ += text.size();
        if (text_bytes_ > limits_.text_bytes_max) {
            return wrong("text of at most " + std::to_string(limits_.text_bytes_max) + " bytes");
        }
        auto ids = model_.tokenizer.encode(text, {.add_special = true, .parse_special = true});
        if (!ids.ok()) return fields_.fail(invalid_value(field_.name, ids.error().message));
        Prompt prompt = own(std::move(ids).value());
        if (field_.keeps_echo) {
            const text::VocabularyView& vocabulary = model_.vocabulary();
            prompt.echo = text;
            prompt.own_begin += vocabulary.has(text::kAddBos) && vocabulary.bos() ? 1 : 0;
            prompt.own_end -= vocabulary.has(text::kAddEos) && vocabulary.eos() ? 1 : 0;
            prompt.spelling = {.print_special = true,
                               .strip_leading_space = vocabulary.has(text::kAddSpacePrefix)};
        }
        prompts_.push_back(std::move(prompt));
    }

    void add_ids(const OrderedJson& list) {
        std::vector<uint32_t> ids;
        ids.reserve(list.size());
        for (const OrderedJson& id : list) {
            if (!id.is_number_unsigned() || id.get<uint64_t>() >= model_.vocab) {
                return wrong("ids below the vocabulary's size of " + std::to_string(model_.vocab));
            }
            ids.push_back(id.get<uint32_t>());
        }
        Prompt prompt = own(std::move(ids));
        if (field_.keeps_echo) {
            text::Detokenizer detokenizer(model_.vocabulary(), prompt.spelling);
            for (const uint32_t id : *prompt.ids)
                detokenizer.push(id, prompt.echo);
            detokenizer.flush(prompt.echo);
        }
        prompts_.push_back(std::move(prompt));
    }

    static Prompt own(std::vector<uint32_t> ids) {
        const auto count = static_cast<uint32_t>(ids.size());
        return {.ids = std::make_shared<const std::vector<uint32_t>>(std::move(ids)),
                .own_end = count};
    }

    void wrong(std::string_view expected) { fields_.wrong(field_.name, expected); }

    Fields& fields_;
    const PromptField& field_;
    const RequestLimits& limits_;
    const Model& model_;
    std::vector<Prompt> prompts_;
    uint64_t text_bytes_ = 0;
};

}  // namespace

std::vector<Prompt> read_prompts(Fields& fields, const PromptField& field,
                                 const RequestLimits& limits, const Model& model) {
    const OrderedJson* value = fields.find(field.name);
    if (value != nullptr) return PromptReader(fields, field, limits, model).read(*value);
    fields.fail(missing_field(field.name));
    return {};
}

void check_prompt_sizes(Fields& fields, std::string_view name, const std::vector<Prompt>& prompts,
                        const Model& model, bool wants_answer) {
    for (const Prompt& prompt : prompts) {
        const size_t count = prompt.ids->size();
        if (count == 0) return fields.wrong(name, "text or ids of at least one token");
        if (count + (wants_answer ? 1 : 0) > model.context) {
            return fields.fail(context_length_exceeded(name, count, model.context, wants_answer));
        }
    }
}

}  // namespace bitnetd::frontend
