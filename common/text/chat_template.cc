#include "common/text/chat_template.h"

#include <ctime>
#include <string>
#include <utility>

#include "common/base/clock.h"
#include "common/text/jinja/interpreter.h"
#include "common/text/jinja/json_text.h"
#include "common/text/jinja/template_parser.h"
#include "common/text/vocabulary_image.h"

namespace bitnetd::text {

namespace {

// Of all strings that one render makes, summed up.
constexpr uint64_t kTextBytesMax = 512u << 20;

}  // namespace

struct ChatTemplate::Impl {
    jinja::Body body;
};

ChatTemplate::ChatTemplate(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::parse(std::string_view source) {
    if (source.size() > kTemplateBytesMax) return invalid("chat template: longer than 1 MiB");
    auto body = jinja::parse_template(source);
    if (!body) return std::move(body).error().within("chat template");
    return ChatTemplate(std::make_unique<const Impl>(Impl{std::move(*body)}));
}

Result<MarkedText> ChatTemplate::render(const nlohmann::ordered_json& variables,
                                        const RenderOptions& options) const {
    if (!variables.is_object()) return invalid("chat template: the variables are no object");
    jinja::Context context{jinja::Budget(options.steps_max, kTextBytesMax), {}};
    const time_t now = options.now_unix_s.value_or(unix_seconds());
    if (gmtime_r(&now, &context.now) == nullptr) return invalid("chat template: no such time");

    jinja::Variables values;
    for (const auto& [name, json] : variables.items()) {
        const bool trusted = name == "bos_token" || name == "eos_token";
        auto value = jinja::from_json(context, json, trusted);
        if (!value) return std::move(value).error().within("chat template: " + name);
        values.emplace_back(name, std::move(*value));
    }
    for (const char* name : {"tools", "documents"}) {
        if (!variables.contains(name)) values.emplace_back(name, jinja::Value(jinja::None{}));
    }
    jinja::Interpreter interpreter(context, std::move(values), options.output_bytes_max);
    auto text = interpreter.run(impl_->body);
    if (!text) return std::move(text).error().within("chat template");
    return text;
}

}  // namespace bitnetd::text
