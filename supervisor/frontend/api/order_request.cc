#include "supervisor/frontend/api/order_request.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>

#include "common/config/model_alias.h"
#include "shm/control/text_field.h"
#include "supervisor/frontend/api/request_json.h"
#include "supervisor/frontend/api/url_text.h"

namespace bitnetd::frontend {
namespace {

using shm::OrderKind;
using shm::OrderMessage;
using shm::SwapStrategy;

// Longer texts, and those with a NUL, would reach the supervisor as other texts.
template <size_t N>
bool fits(const char (&)[N], std::string_view text) {
    return !text.empty() && text.size() < N && text.find('\0') == text.npos;
}

template <size_t N>
void read_text(Fields& fields, std::string_view name, char (&field)[N]) {
    const auto text = fields.text(name, N - 1);
    if (!text) return;
    if (!fits(field, *text))
        fields.wrong(name, "a string of 1 to " + std::to_string(N - 1) + " bytes without a NUL");
    shm::set_field(field, *text);
}

// Runs `read` on the fields of the object `name`, when it is there.
template <typename Read>
void read_object(Fields& fields, std::string_view name, bool is_strict, Read read) {
    const OrderedJson* object = fields.object(name);
    if (object == nullptr) return;
    Fields inner(*object, std::string(name) + ".");
    read(inner);
    if (is_strict) inner.refuse_unknown();
    if (inner.failed()) fields.fail(*inner.error());
}

void demand_accuracy(Fields& fields, std::string_view name, OrderMessage& order) {
    const auto least = fields.number(name, {0, 1});
    if (least) order.accuracy_min = std::max(order.accuracy_min, static_cast<float>(*least));
}

void read_validation(Fields& fields, OrderMessage& order) {
    demand_accuracy(fields, "min_accuracy", order);
    order.timeout_s =
        static_cast<uint32_t>(fields.integer("timeout_seconds", 1, kOrderTimeoutMaxS).value_or(0));
    fields.integer("validation_samples", 1, kValidationSamplesMax);  // the loader has its own rule
}

void read_prompts(Fields& fields, std::string_view name, OrderMessage& order) {
    const OrderedJson* list = fields.find(name);
    if (list == nullptr) return;
    const std::string expected = "an array of at most " + std::to_string(std::size(order.prompts)) +
                                 " strings of 1 to " + std::to_string(sizeof order.prompts[0] - 1) +
                                 " bytes without a NUL";
    if (!list->is_array() || list->size() > std::size(order.prompts)) {
        fields.wrong(name, expected);
        return;
    }
    for (const OrderedJson& prompt : *list) {
        auto& field = order.prompts[order.test_prompts];
        if (!prompt.is_string() || !fits(field, prompt.get_ref<const std::string&>())) {
            fields.wrong(name, expected);
            return;
        }
        shm::set_field(field, prompt.get_ref<const std::string&>());
        ++order.test_prompts;
    }
}

void read_health_check(Fields& fields, OrderMessage& order) {
    read_prompts(fields, "inference_test_prompts", order);
    demand_accuracy(fields, "accuracy_threshold", order);
}

// Not said: the operator's setting, rollout.strategy.
SwapStrategy read_strategy(Fields& fields) {
    const auto index = fields.choice("swap_strategy", {"rolling", "blue_green"});
    return index ? static_cast<SwapStrategy>(*index + 1) : SwapStrategy{};
}
static_assert(static_cast<int>(SwapStrategy::kRolling) == 1 &&
              static_cast<int>(SwapStrategy::kBlueGreen) == 2);

// What the supervisor calls it. A name that nothing here has may be one that is being loaded.
std::string id_of(const ModelList& models, std::string_view name) {
    const auto model = find_model(models, name);
    return model == nullptr ? std::string(name) : model->id;
}

// A new name must be one that anybody can write; ids of models that are there come from file names
// too and may hold anything.
void read_model(Fields& fields, const ModelList& models, OrderMessage& order) {
    constexpr std::string_view kName = "model_id";
    read_text(fields, kName, order.model);
    const std::string name(shm::field_text(order.model));
    const bool is_new = order.kind == OrderKind::kLoad;
    if (is_new && !name.empty() && !is_model_name(name)) {
        fields.wrong(kName, "letters, digits and \"._:@/-\", not beginning with '.' or '/'");
    }
    const std::string id = is_new ? name : id_of(models, name);
    if (id.empty()) fields.fail(missing_field(kName));
    shm::set_field(order.model, id);
}

}  // namespace

OrderResult read_order(OrderKind kind, std::string_view body, const ModelList& models,
                       bool is_strict) {
    OrderedJson json;
    if (auto error = parse_json_object(body, json)) return *error;
    Fields fields(json);
    Order order;
    OrderMessage& message = order.message;
    message.kind = kind;
    read_model(fields, models, message);
    read_text(fields, "model_path", message.path);
    const bool has_path = message.path[0] != '\0';
    if (kind != OrderKind::kRollback && !has_path) fields.fail(missing_field("model_path"));
    if (kind == OrderKind::kRollback && has_path) {
        fields.fail(unsupported_parameter(
            "model_path", "A rollback takes no 'model_path': it goes back to what was before."));
    }
    read_object(fields, "validation_config", is_strict,
                [&](Fields& inner) { read_validation(inner, message); });
    read_object(fields, "health_check_config", is_strict,
                [&](Fields& inner) { read_health_check(inner, message); });
    message.strategy = read_strategy(fields);
    message.rollback_on_failure = fields.boolean("rollback_on_failure").value_or(true);
    order.waits = fields.boolean("wait").value_or(true);
    if (is_strict) fields.refuse_unknown();
    if (fields.failed()) return *fields.error();
    return order;
}

OrderResult read_removal(std::string_view id, std::string_view query, const ModelList& models) {
    Order order;
    order.message.kind = OrderKind::kRemove;
    if (!fits(order.message.model, id)) return model_not_found(id);
    shm::set_field(order.message.model, id_of(models, id));
    const std::string wait = query_value(query, "wait").value_or("true");
    if (wait != "true" && wait != "false") {
        return invalid_value("wait", "'wait' must be true or false.");
    }
    order.waits = wait == "true";
    return order;
}

}  // namespace bitnetd::frontend
