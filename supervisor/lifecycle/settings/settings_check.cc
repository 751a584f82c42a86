#include "supervisor/lifecycle/settings/settings_check.h"

#include <sys/un.h>

#include <algorithm>
#include <bit>
#include <charconv>

#include "common/config/model_alias.h"
#include "common/gguf/split_name.h"
#include "common/log/log.h"
#include "common/quant/accuracy_minima.h"
#include "common/quant/ternary_matrix.h"
#include "shm/abi/control_abi.h"
#include "supervisor/lifecycle/settings/worker_devices.h"

namespace bitnetd::supervisor {
namespace {

constexpr std::string_view kDefaultListen = "127.0.0.1:8080";

Result<void> one_of(std::string_view setting, std::string_view found,
                    std::initializer_list<std::string_view> allowed) {
    std::string list;
    for (const std::string_view name : allowed) {
        if (found == name) return {};
        list += (list.empty() ? "" : ", ") + (name.empty() ? "\"\"" : std::string(name));
    }
    return invalid(std::string(setting) + ": expected one of " + list + ", found \"" +
                   std::string(found) + "\"");
}

Result<void> power_of_two(std::string_view setting, uint64_t value) {
    if (std::has_single_bit(value)) return {};
    return invalid(std::string(setting) + ": expected a power of two, found " +
                   std::to_string(value) + " (nearest: " + std::to_string(std::bit_ceil(value)) +
                   ")");
}

Result<mode_t> parse_mode(const std::string& text) {
    unsigned mode = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, mode, 8);
    if (text.empty() || error != std::errc() || stop != end || mode > 0777) {
        return invalid("server.unix_mode: expected octal permissions up to 777, found \"" + text +
                       "\"");
    }
    return static_cast<mode_t>(mode);
}

Result<std::vector<ListenAddress>> check_listen(const Params& params) {
    const auto& texts = params.server_listen;
    if (texts.size() > kListenersMax) {
        return invalid("server.listen: at most " + std::to_string(kListenersMax) + " addresses");
    }
    std::vector<ListenAddress> addresses;
    for (size_t i = 0; i < texts.size(); ++i) {
        if (std::find(texts.begin(), texts.begin() + static_cast<ptrdiff_t>(i), texts[i]) !=
            texts.begin() + static_cast<ptrdiff_t>(i)) {
            return invalid("server.listen: \"" + texts[i] + "\" is there twice");
        }
        auto address = parse_listen_address(texts[i]);
        if (!address.ok()) return std::move(address).error().within("server.listen");
        if (!address->loopback && params.auth_mode != "none") {
            return invalid(
                "server.listen: \"" + texts[i] +
                "\" can be reached from other machines and no keys are configured; say "
                "auth.mode = \"none\" (--auth.mode none) to serve everyone, or listen on "
                "loopback");
        }
        addresses.push_back(std::move(address).value());
    }
    return addresses;
}

Result<std::vector<ModelSource>> check_models(const Params& params) {
    if (params.server_model.empty()) {
        return invalid("server.model: there is nothing to serve; give --model FILE");
    }
    if (params.server_model.size() > kModelsMax) {
        return invalid("server.model: at most " + std::to_string(kModelsMax) + " models");
    }
    std::vector<ModelSource> models;
    for (const std::string& text : params.server_model) {
        BITNETD_ASSIGN(ModelSource source, parse_model_source(text));
        for (const ModelSource& other : models) {
            if (other.id == source.id) {
                return invalid("server.model: two models are called \"" + source.id +
                               "\"; name them with ID=FILE");
            }
        }
        models.push_back(std::move(source));
    }
    return models;
}

Result<void> check_aliases(const Params& params, const std::vector<ModelSource>& models) {
    std::vector<std::string> ids;
    for (const ModelSource& model : models)
        ids.push_back(model.id);
    BITNETD_TRY(check_model_aliases(params.server_alias, ids));
    return {};
}

// What files do not say about models; the loader gets it as it stands.
Result<void> check_model_settings(const Params& params) {
    if (auto layout = quant::parse_i2s_layout(params.model_i2s_layout); !layout.ok()) {
        return std::move(layout).error().within("model.i2s_layout");
    }
    if (auto tiles = quant::parse_tiles(params.model_tl_tiles); !tiles.ok()) {
        return std::move(tiles).error().within("model.tl_tiles");
    }
    if (auto minima = quant::AccuracyMinima::parse(params.model_accuracy_min); !minima.ok()) {
        return std::move(minima).error().within("model.accuracy_min");
    }
    BITNETD_TRY(one_of("model.activation", params.model_activation, {"auto", "silu", "relu2"}));
    BITNETD_TRY(one_of("model.output_screen", params.model_output_screen, {"auto", "on", "off"}));
    return one_of("model.pooling", params.model_pooling, {"auto", "none", "mean", "last"});
}

// A path that means the same to every process, whatever its working directory is.
Result<void> absolute(std::string_view setting, const std::string& path) {
    if (path.starts_with('/')) return {};
    return invalid(std::string(setting) + ": expected a path that begins with /, found \"" + path +
                   "\"");
}

Result<void> check_paths(const Params& params) {
    if (params.server_control.size() >= sizeof(sockaddr_un::sun_path)) {
        return invalid("server.control: the path is over 107 bytes");
    }
    if (!params.server_control.empty()) {
        BITNETD_TRY(absolute("server.control", params.server_control));
    }
    if (!params.server_state_dir.empty()) {
        BITNETD_TRY(absolute("server.state_dir", params.server_state_dir));
    }
    for (const std::string& folder : params.server_models_dir) {
        BITNETD_TRY(absolute("server.models_dir", folder));
    }
    return {};
}

Result<void> check_values(const Params& params) {
    log::Level level;
    log::Format format;
    if (!log::parse_level(params.log_level, level)) {
        return one_of("log.level", params.log_level, {"debug", "info", "warn", "error"});
    }
    if (!log::parse_format(params.log_format, format)) {
        return one_of("log.format", params.log_format, {"auto", "text", "json"});
    }
    BITNETD_TRY(check_model_settings(params));
    BITNETD_TRY(one_of("auth.mode", params.auth_mode, {"", "none"}));
    BITNETD_TRY(one_of("worker.kernel_isa", params.worker_kernel_isa,
                       {"auto", "scalar", "avx2", "avx512", "avx512vnni", "avx512bf16", "amx",
                        "neon", "neondotprod"}));
    BITNETD_TRY(one_of("worker.block_inputs", params.worker_block_inputs, {"int8", "float"}));
    BITNETD_TRY(one_of("worker.bf16_inputs", params.worker_bf16_inputs, {"float", "bf16"}));
    BITNETD_TRY(one_of("rollout.strategy", params.rollout_strategy, {"rolling", "blue_green"}));
    BITNETD_TRY(one_of("speculation.mode", params.speculation_mode, {"auto", "on", "off"}));
    BITNETD_TRY(one_of("kv.type", params.kv_type, {"f32", "f16", "int8"}));
    BITNETD_TRY(
        one_of("memory.huge_pages", params.memory_huge_pages, {"transparent", "reserved", "off"}));
    BITNETD_TRY(power_of_two("dispatch.request_ring_bytes", params.dispatch_request_ring_bytes));
    BITNETD_TRY(power_of_two("dispatch.token_ring_bytes", params.dispatch_token_ring_bytes));
    if (params.worker_slots_max < params.server_frontends) {
        return invalid(
            "worker.slots_max: expected at least one slot per frontend (server.frontends = " +
            std::to_string(params.server_frontends) + "), found " +
            std::to_string(params.worker_slots_max));
    }
    if (params.server_hang_timeout_ms < 2 * params.server_heartbeat_interval_ms) {
        return invalid(
            "server.hang_timeout_ms: expected at least twice "
            "server.heartbeat_interval_ms (" +
            std::to_string(params.server_heartbeat_interval_ms) + "), found " +
            std::to_string(params.server_hang_timeout_ms));
    }
    if (params.server_orphan_timeout_ms < 2 * params.server_heartbeat_interval_ms) {
        return invalid(
            "server.orphan_timeout_ms: expected at least twice "
            "server.heartbeat_interval_ms (" +
            std::to_string(params.server_heartbeat_interval_ms) + "), found " +
            std::to_string(params.server_orphan_timeout_ms));
    }
    return check_paths(params);
}

// What clients call a model that the operator gave no name.
std::string id_of_path(std::string_view path) {
    while (path.ends_with('/'))
        path.remove_suffix(1);
    std::string_view name = path.substr(path.rfind('/') + 1);
    if (const auto split = gguf::parse_split_name(name)) return split->prefix;
    if (name.ends_with(".gguf")) name.remove_suffix(5);
    return std::string(name);
}

}  // namespace

Result<ModelSource> parse_model_source(std::string_view text) {
    ModelSource source;
    const size_t equals = text.find('=');
    if (equals != text.npos && is_model_name(text.substr(0, equals))) {
        source.id = text.substr(0, equals);
        source.path = text.substr(equals + 1);
    } else {
        source.path = text;
        source.id = id_of_path(text);
    }
    if (source.path.empty()) {
        return invalid("server.model: \"" + std::string(text) + "\" names no file");
    }
    // The limits are those of ModelMessage, each with its closing NUL.
    if (source.id.empty() || source.id.size() >= sizeof(shm::ModelMessage::id)) {
        return invalid("server.model: \"" + std::string(text) +
                       "\": an id has 1 to 127 bytes; name it with ID=FILE");
    }
    if (source.path.size() >= sizeof(shm::ModelMessage::path)) {
        return invalid("server.model: \"" + source.path + "\": the path is over 511 bytes");
    }
    return source;
}

Result<Settings> check_settings(Params params) {
    if (params.server_listen.empty()) params.server_listen.emplace_back(kDefaultListen);
    BITNETD_TRY(check_values(params));
    Settings settings;
    BITNETD_ASSIGN(settings.unix_mode, parse_mode(params.server_unix_mode));
    BITNETD_ASSIGN(settings.listen, check_listen(params));
    BITNETD_ASSIGN(settings.models, check_models(params));
    BITNETD_TRY(check_aliases(params, settings.models));
    BITNETD_TRY(check_gpus(params.server_gpu));
    if (params.worker_null_model == 1 && !params.server_gpu.empty()) {
        return invalid(
            "worker.null_model: CPU workers make tokens up, GPU workers do not: leave "
            "server.gpu empty");
    }
    // Children get all of it in one message.
    if (print_settings(params).size() > shm::kControlPayloadMax) {
        return invalid("the configuration is over " + std::to_string(shm::kControlPayloadMax) +
                       " bytes");
    }
    settings.params = std::move(params);
    return settings;
}

}  // namespace bitnetd::supervisor
