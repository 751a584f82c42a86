#include "supervisor/frontend/api/generation_params.h"

#include <charconv>

namespace bitnetd::frontend {
namespace {

// What a route means by a field that is absent.
Sampling default_sampling(RouteKind route) {
    Sampling sampling;
    if (is_inference(route)) {
        sampling.temperature = 0.7f;
        sampling.top_p = 0.9f;
        sampling.top_k = 50;
    }
    return sampling;
}

void read_sampling(Fields& fields, Sampling& sampling) {
    const auto set = [&fields](std::string_view name, NumberBounds bounds, float& value) {
        if (const auto number = fields.number(name, bounds)) value = static_cast<float>(*number);
    };
    set("temperature", {0, 2}, sampling.temperature);
    set("top_p", {0, 1, /*above_min=*/true}, sampling.top_p);
    set("min_p", {0, 1}, sampling.min_p);
    set("typical_p", {0, 1}, sampling.typical_p);
    set("repetition_penalty", {0, 2, /*above_min=*/true}, sampling.repetition_penalty);
    set("frequency_penalty", {-2, 2}, sampling.frequency_penalty);
    set("presence_penalty", {-2, 2}, sampling.presence_penalty);
    if (const auto top_k = fields.integer("top_k", 0, UINT64_MAX)) {
        sampling.top_k = *top_k > UINT32_MAX ? 0 : static_cast<uint32_t>(*top_k);
    }
}

void read_max_tokens(Fields& fields, RouteKind route, GenerationParams& params) {
    const uint64_t least = params.echo ? 0 : 1;
    if (route == RouteKind::kCompletions) params.max_tokens = kCompletionTokensDefault;
    if (is_inference(route)) params.max_tokens = kInferenceTokensDefault;
    if (const auto tokens = fields.integer("max_tokens", least, UINT64_MAX)) {
        params.max_tokens = tokens;
    }
    if (const auto tokens = fields.integer("max_completion_tokens", least, UINT64_MAX)) {
        params.max_tokens = tokens;
    }
}

void read_bias(Fields& fields, std::vector<shm::LogitBias>& bias) {
    const OrderedJson* map = fields.object("logit_bias");
    if (map == nullptr) return;
    if (map->size() > shm::kLogitBiasMax) {
        fields.wrong("logit_bias",
                     "a map of at most " + std::to_string(shm::kLogitBiasMax) + " tokens");
        return;
    }
    for (const auto& [key, value] : map->items()) {
        uint32_t token = 0;
        const char* end = key.data() + key.size();
        const auto [stop, error] = std::from_chars(key.data(), end, token);
        const double number = value.is_number() ? value.get<double>() : 1e9;
        if (error != std::errc() || stop != end || !(number >= -100 && number <= 100)) {
            fields.wrong("logit_bias", "a map from token ids to numbers from -100 to 100");
            return;
        }
        bias.push_back({token, static_cast<float>(number)});
    }
}

// `stop`, on /v1/inference also called `stop_sequences`.
void read_stops(Fields& fields, RouteKind route, std::vector<std::string>& stops) {
    std::string_view name = "stop";
    const OrderedJson* value = fields.find(name);
    if (is_inference(route)) {
        const OrderedJson* synonym = fields.find("stop_sequences");
        if (value != nullptr && synonym != nullptr) {
            return fields.fail(invalid_value(
                "stop_sequences", "'stop' and 'stop_sequences' are the same field: send one."));
        }
        if (synonym != nullptr) {
            name = "stop_sequences";
            value = synonym;
        }
    }
    if (value == nullptr) return;
    const auto take = [&stops](const OrderedJson& text) {
        if (!text.is_string()) return false;
        stops.push_back(text.get<std::string>());
        return !stops.back().empty() && stops.back().size() <= kStopBytesMax;
    };
    bool good = value->is_string() ? take(*value) : value->is_array();
    if (value->is_array()) {
        good = value->size() <= kStopsMax;
        for (size_t i = 0; good && i < value->size(); ++i)
            good = take((*value)[i]);
    }
    if (!good) {
        fields.wrong(name, "a string or up to " + std::to_string(kStopsMax) +
                               " strings, each of 1 to " + std::to_string(kStopBytesMax) +
                               " bytes");
    }
}

void read_choices(Fields& fields, RouteKind route, GenerationParams& params) {
    if (is_inference(route)) {  // its answer has one text
        fields.integer("n", 1, 1);
        fields.integer("best_of", 1, 1);
        return;
    }
    params.n = static_cast<uint32_t>(fields.integer("n", 1, kChoicesMax).value_or(1));
    params.best_of = params.n;
    if (route != RouteKind::kCompletions) return;
    const auto best_of = fields.integer("best_of", 1, kChoicesMax);
    if (!best_of) return;
    params.best_of = static_cast<uint32_t>(*best_of);
    if (params.best_of < params.n) {
        fields.wrong("best_of", "at least 'n' (" + std::to_string(params.n) + ")");
    }
    if (params.best_of > params.n && params.stream) {
        fields.fail(invalid_value("best_of", "'best_of' above 'n' cannot be streamed."));
    }
}

void refuse_logprobs(Fields& fields) {
    for (const std::string_view name : {"logprobs", "top_logprobs"}) {
        const OrderedJson* value = fields.find(name);
        if (value == nullptr || *value == false || *value == 0) continue;
        fields.fail(unsupported_parameter(name, "This route's answer has no logprobs."));
    }
}

void read_logprobs(Fields& fields, RouteKind route, GenerationParams& params) {
    if (is_inference(route)) return refuse_logprobs(fields);
    if (route == RouteKind::kCompletions) {
        const auto count = fields.integer("logprobs", 0, shm::kLogprobsMax);
        params.wants_logprobs = count.has_value();
        params.top_logprobs = static_cast<uint32_t>(count.value_or(0));
        return;
    }
    params.wants_logprobs = fields.boolean("logprobs").value_or(false);
    const auto count = fields.integer("top_logprobs", 0, shm::kLogprobsMax);
    params.top_logprobs = static_cast<uint32_t>(count.value_or(0));
    if (count.value_or(0) > 0 && !params.wants_logprobs) {
        fields.fail(invalid_value("top_logprobs", "'top_logprobs' needs 'logprobs': true."));
    }
}

void read_stream(Fields& fields, RouteKind route, GenerationParams& params) {
    params.stream = fields.boolean("stream").value_or(route == RouteKind::kInferenceStream);
    if (route == RouteKind::kInferenceStream && !params.stream) {
        fields.wrong("stream", "true on this route; POST /v1/inference answers as a whole");
    }
    const OrderedJson* options = fields.object("stream_options");
    if (options == nullptr) return;
    if (!params.stream) {
        fields.fail(invalid_value("stream_options", "'stream_options' needs 'stream': true."));
    }
    Fields inner(*options, "stream_options.");
    params.include_usage = inner.boolean("include_usage").value_or(false);
    inner.ignore({"include_obfuscation"});
    if (inner.error()) fields.fail(*inner.error());
}

// What this server does not do: only its default is accepted.
void refuse_unavailable(Fields& fields) {
    if (const OrderedJson* format = fields.object("response_format")) {
        Fields inner(*format, "response_format.");
        const auto type = inner.choice("type", {"text", "json_object", "json_schema"});
        if (inner.error())
            fields.fail(*inner.error());
        else if (!type)
            fields.fail(missing_field("response_format.type"));
        else if (*type != 0) {
            fields.fail(unsupported_parameter("response_format",
                                              "Only response_format 'text' is available."));
        }
    }
    for (const std::string_view name : {"tools", "functions"}) {
        const OrderedJson* list = fields.find(name);
        if (list == nullptr) continue;
        if (!list->is_array())
            fields.wrong(name, "an array");
        else if (!list->empty()) {
            fields.fail(unsupported_parameter(name, "Tool calls are not available."));
        }
    }
    for (const std::string_view name : {"tool_choice", "function_call"}) {
        const OrderedJson* value = fields.find(name);
        if (value != nullptr && *value != "none" && *value != "auto") {
            fields.fail(unsupported_parameter(name, "Tool calls are not available."));
        }
    }
    fields.boolean("parallel_tool_calls");
    const OrderedJson* suffix = fields.find("suffix");
    if (suffix != nullptr && *suffix != "") {
        fields.fail(unsupported_parameter("suffix",
                                          "Insertion in front of a suffix is not "
                                          "available."));
    }
}

}  // namespace

void read_service_params(Fields& fields, const RequestLimits& limits, ServiceParams& params) {
    if (const auto index = fields.choice("priority", {"high", "normal", "low"})) {
        params.priority = static_cast<Priority>(*index);
    }
    if (const auto index = fields.choice("device_preference", {"auto", "cpu", "gpu"})) {
        params.device = static_cast<DevicePreference>(*index);
    }
    // A model has one packing: whatever is preferred, that one is used (api.md: a preference).
    fields.choice("quantization_preference", {"auto", "i2s", "tl1", "tl2"});
    params.timeout_ms =
        fields.integer("timeout_ms", 1, limits.timeout_ms).value_or(limits.timeout_ms);
}

GenerationParams read_generation_params(Fields& fields, RouteKind route,
                                        const RequestLimits& limits) {
    GenerationParams params;
    params.model = fields.text("model", 256).value_or("");
    if (route == RouteKind::kCompletions) params.echo = fields.boolean("echo").value_or(false);
    read_stream(fields, route, params);
    params.sampling = default_sampling(route);
    read_sampling(fields, params.sampling);
    read_max_tokens(fields, route, params);
    read_bias(fields, params.bias);
    params.seed = fields.wide_integer("seed");
    read_stops(fields, route, params.stops);
    read_choices(fields, route, params);
    read_logprobs(fields, route, params);
    params.ignore_eos = fields.boolean("ignore_eos").value_or(false);
    read_service_params(fields, limits, params);
    refuse_unavailable(fields);
    fields.ignore({"user", "metadata", "store", "service_tier", "safety_identifier",
                   "prompt_cache_key", "reasoning_effort", "verbosity", "modalities"});
    return params;
}

}  // namespace bitnetd::frontend
