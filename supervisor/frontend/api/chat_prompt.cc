// `messages` -> the model's chat template -> text, and for POST /v1/chat/completions ids.
#include <algorithm>
#include <array>

#include "supervisor/frontend/api/prepare.h"

namespace bitnetd::frontend {
namespace {

constexpr size_t kMessagesMax = 16'384;
constexpr size_t kToolsMax = 1'024;

std::string place(size_t index) {
    return "messages[" + std::to_string(index) + "]";
}

// A string, or an array of text parts joined.
std::optional<std::string> read_content(Fields& fields, const OrderedJson& content,
                                        const std::string& at) {
    if (content.is_string()) return content.get<std::string>();
    if (!content.is_array()) {
        fields.wrong(at + ".content", "a string or an array of text parts");
        return std::nullopt;
    }
    std::string text;
    for (const OrderedJson& part : content) {
        const bool is_text = part.is_object() && part.value("type", OrderedJson()) == "text" &&
                             part.contains("text") && part["text"].is_string();
        if (!is_text) {
            fields.fail(
                unsupported_parameter(at + ".content", "Only parts of type 'text' are available."));
            return std::nullopt;
        }
        text += part["text"].get_ref<const std::string&>();
    }
    return text;
}

std::optional<std::string> read_role(Fields& fields, const OrderedJson& message,
                                     const std::string& at) {
    constexpr std::array<std::string_view, 6> roles = {"system",    "developer", "user",
                                                       "assistant", "tool",      "function"};
    const auto role = message.find("role");
    if (role == message.end() || role->is_null()) {
        fields.fail(missing_field(at + ".role"));
        return std::nullopt;
    }
    for (const std::string_view known : roles) {
        // Templates know the older name of a developer's instructions.
        if (*role == known) return std::string(known == "developer" ? "system" : known);
    }
    fields.wrong(at + ".role", "one of 'system' 'developer' 'user' 'assistant' 'tool'");
    return std::nullopt;
}

std::optional<OrderedJson> read_message(Fields& fields, const OrderedJson& message, size_t index) {
    const std::string at = place(index);
    if (!message.is_object()) {
        fields.wrong(at, "an object");
        return std::nullopt;
    }
    const auto role = read_role(fields, message, at);
    if (!role) return std::nullopt;
    OrderedJson out = {{"role", *role}};
    const auto content = message.find("content");
    const bool is_absent = content == message.end() || content->is_null();
    if (is_absent && *role != "assistant") {
        fields.fail(missing_field(at + ".content"));
        return std::nullopt;
    }
    if (is_absent) {
        out["content"] = "";
    } else {
        auto text = read_content(fields, *content, at);
        if (!text) return std::nullopt;
        out["content"] = std::move(*text);
    }
    for (const std::string_view name : {"name", "tool_call_id"}) {
        const auto value = message.find(name);
        if (value != message.end() && value->is_string()) out[std::string(name)] = *value;
    }
    const auto calls = message.find("tool_calls");
    if (calls != message.end() && calls->is_array() && !calls->empty()) {
        out["tool_calls"] = *calls;
    }
    return out;
}

OrderedJson template_variables(const text::VocabularyView& vocabulary, Conversation conversation) {
    const auto token_text = [&vocabulary](std::optional<uint32_t> id) {
        return id ? std::string(vocabulary.text(*id)) : std::string();
    };
    OrderedJson variables = OrderedJson::object();
    variables["messages"] = std::move(conversation.messages);
    if (!conversation.tools.is_null()) variables["tools"] = std::move(conversation.tools);
    variables["add_generation_prompt"] = conversation.add_generation_prompt;
    variables["bos_token"] = token_text(vocabulary.bos());
    variables["eos_token"] = token_text(vocabulary.eos());
    return variables;
}

}  // namespace

OrderedJson read_messages(Fields& fields) {
    OrderedJson messages = OrderedJson::array();
    const OrderedJson* list = fields.find("messages");
    if (list == nullptr) {
        fields.fail(missing_field("messages"));
    } else if (!list->is_array() || list->empty() || list->size() > kMessagesMax) {
        fields.wrong("messages", "an array of 1 to " + std::to_string(kMessagesMax) + " messages");
    }
    if (fields.failed()) return messages;
    for (size_t i = 0; i < list->size() && !fields.failed(); ++i) {
        auto message = read_message(fields, (*list)[i], i);
        if (message) messages.push_back(std::move(*message));
    }
    return messages;
}

OrderedJson read_tools(Fields& fields) {
    const OrderedJson* tools = fields.find("tools");
    if (tools == nullptr) return nullptr;
    const bool is_list = tools->is_array() && tools->size() <= kToolsMax &&
                         std::all_of(tools->begin(), tools->end(),
                                     [](const OrderedJson& tool) { return tool.is_object(); });
    if (!is_list) {
        fields.wrong("tools", "an array of at most " + std::to_string(kToolsMax) + " objects");
        return nullptr;
    }
    if (tools->empty()) return nullptr;  // templates ask whether there is a list, not how long
    return *tools;
}

std::optional<text::MarkedText> render_conversation(Fields& fields, const RequestLimits& limits,
                                                    const Model& model, Conversation conversation) {
    if (!model.chat_template) {
        fields.fail(invalid_value(
            "model", "The model '" + model.id + "' has no chat template; use /v1/completions."));
        return std::nullopt;
    }
    text::RenderOptions options;
    options.output_bytes_max = std::min<size_t>(options.output_bytes_max, limits.text_bytes_max);
    auto rendered = model.chat_template->render(
        template_variables(model.vocabulary(), std::move(conversation)), options);
    if (rendered.ok()) return std::move(rendered).value();
    fields.fail(invalid_value(
        "messages",
        "The model's chat template does not take these messages: " + rendered.error().message));
    return std::nullopt;
}

void read_chat_prompt(Fields& fields, const RequestLimits& limits, Prepared& prepared) {
    Conversation conversation;
    conversation.messages = read_messages(fields);
    if (fields.failed()) return;
    const auto rendered =
        render_conversation(fields, limits, *prepared.model, std::move(conversation));
    if (!rendered) return;
    auto ids = prepared.model->tokenizer.encode_prompt(*rendered);
    if (!ids.ok()) return fields.fail(invalid_value("messages", ids.error().message));
    prepared.prompts.push_back(
        {std::make_shared<const std::vector<uint32_t>>(std::move(ids).value()), ""});
}

}  // namespace bitnetd::frontend
