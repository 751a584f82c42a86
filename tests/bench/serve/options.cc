#include "tests/bench/serve/options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>

namespace bitnetd::bench {
namespace {

constexpr uint32_t kDefaultClients = 16;

Result<std::vector<std::string>> corpus_words(const std::string& path) {
    if (path.empty()) return words_of(builtin_text());
    std::ifstream in(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    std::vector<std::string> words = words_of(text);
    if (words.empty()) return invalid("--corpus " + path + ": expected a text, found no word");
    return words;
}

}  // namespace

void CommandLine::add_to(CLI::App& app) {
    const auto count = CLI::Range(uint32_t{1}, uint32_t{1'000'000});
    app.add_option("--url", url,
                   "measure this server (http://IP:PORT, unix:/path) instead of an own one");
    app.add_option("--server-pid", server_pid,
                   "with --url: its bitnetd process, for memory and processor time");
    app.add_option("--model", model, "model file of the own server; default: the demo model");
    app.add_option("--server-flags", server_flags, "more flags for it, separated by blanks");
    app.add_option("--transport", transport, "how it is reached")
        ->check(CLI::IsMember({"tcp", "unix"}))
        ->capture_default_str();
    app.add_option("--model-id", model_id, "which of the server's models; default: its default");

    app.add_option("--clients", clients,
                   "closed loops, one stage each: so many clients, each waits for its answer")
        ->delimiter(',')
        ->check(CLI::Range(1, 100'000));
    app.add_option("--think-ms", think_ms, "closed loop: from an answer to the next request")
        ->check(CLI::Range(0.0, 3.6e6));
    app.add_option("--rate,--rates", rates,
                   "open loops, one stage each: requests/s (Poisson); 0.9x: times the best closed "
                   "loop of this run");
    app.add_option("--duration", duration_s, "seconds of a stage; 0: until --requests are answered")
        ->check(CLI::Range(0.0, 86400.0))
        ->capture_default_str();
    app.add_option("--warmup", warmup_s, "seconds before, not counted")
        ->check(CLI::Range(0.0, 3600.0))
        ->capture_default_str();
    app.add_option("--requests", requests, "so many requests in a stage at most");

    app.add_option("--prompt-tokens", prompt_tokens,
                   "fixed:N, uniform:A..B or lognormal:MEDIAN,SIGMA; of a text, words")
        ->capture_default_str();
    app.add_option("--output-tokens", output_tokens, "the same for answers (ignore_eos is set)")
        ->capture_default_str();
    app.add_option("--shared-prefix", shared_prefix,
                   "all prompts begin with the same so many tokens")
        ->check(count);
    app.add_option("--mix", mix, "which requests are sent")
        ->check(CLI::IsMember({"completions", "chat", "both"}))
        ->capture_default_str();
    app.add_option("--corpus", corpus,
                   "prompts are passages of this text; without it, random ids and words");
    app.add_option("--vocabulary", vocabulary, "prompts of completions are random ids below this")
        ->check(count)
        ->capture_default_str();
    app.add_flag("--stream,!--no-stream", stream, "streamed answers")->capture_default_str();
    app.add_option("--temperature", temperature)
        ->check(CLI::Range(0.0, 2.0))
        ->capture_default_str();
    app.add_option("--priority", priorities,
                   "high, normal, low; several are drawn evenly and reported apart")
        ->delimiter(',')
        ->check(CLI::IsMember({"high", "normal", "low"}));
    app.add_option("--timeout-ms", timeout_ms, "sent with each request");
    app.add_option("--seed", seed, "what is asked and when depends on it alone")
        ->capture_default_str();

    app.add_option("--retry", retries,
                   "who is refused comes back exactly when told to, up to so often; else closed "
                   "loops go on at once with the next request, open ones count")
        ->check(CLI::Range(0, 1000));
    app.add_option("--check-same", check_same,
                   "ask only so many different requests and compare all answers with the first one")
        ->expected(0, 1)
        ->default_str("16")
        ->check(CLI::Range(1, 100'000));
    app.add_option("--patience", patience_s, "seconds of silence after which an answer is lost")
        ->check(CLI::Range(1.0, 86400.0))
        ->capture_default_str();
    app.add_option("--connections-max", connections_max, "open loops use no more at once")
        ->check(count)
        ->capture_default_str();
    app.add_option("--json", json_path, "write the report there as well");
}

Result<std::vector<Rate>> parse_rates(const std::string& text) {
    std::vector<Rate> rates;
    for (const std::string& part : split(text, ',')) {
        Rate rate;
        rate.of_capacity = part.ends_with('x');
        const char* end = part.data() + part.size() - (rate.of_capacity ? 1 : 0);
        const auto [stopped, error] = std::from_chars(part.data(), end, rate.value);
        if (error != std::errc() || stopped != end || !std::isfinite(rate.value) ||
            rate.value <= 0 || rate.value > 1e6) {
            return invalid(
                "--rates " + text + ": \"" + part +
                "\" is neither requests per second nor a multiple of the capacity such as "
                "0.9x; both are above 0 and at most 1000000");
        }
        rates.push_back(rate);
    }
    return rates;
}

Result<RequestPlan> plan_of(const CommandLine& line) {
    RequestPlan plan;
    BITNETD_ASSIGN(plan.prompt_tokens, LengthDistribution::parse(line.prompt_tokens));
    BITNETD_ASSIGN(plan.output_tokens, LengthDistribution::parse(line.output_tokens));
    BITNETD_ASSIGN(plan.words, corpus_words(line.corpus));
    if (line.mix == "chat") plan.routes = {Route::kChat};
    if (line.mix == "both") plan.routes = {Route::kCompletions, Route::kChat};
    plan.priorities = line.priorities;
    plan.shared_prefix = line.shared_prefix;
    plan.vocabulary = line.vocabulary;
    plan.temperature = line.temperature;
    plan.timeout_ms = line.timeout_ms;
    plan.seed = line.seed;
    plan.stream = line.stream;
    plan.text_prompts = !line.corpus.empty();
    return plan;
}

Result<std::vector<Rate>> rates_of(const CommandLine& line) {
    if (line.duration_s == 0 && line.requests == 0) {
        return invalid("--duration 0 needs --requests: a stage has to end");
    }
    if (line.rates.empty()) return std::vector<Rate>();
    return parse_rates(line.rates);
}

std::vector<uint32_t> clients_of(const CommandLine& line, const std::vector<Rate>& rates) {
    if (!line.clients.empty()) return line.clients;
    const bool needs_capacity =
        std::any_of(rates.begin(), rates.end(), [](const Rate& rate) { return rate.of_capacity; });
    if (needs_capacity) return {100};
    if (rates.empty()) return {kDefaultClients};
    return {};
}

std::vector<std::string> split(const std::string& text, char at) {
    std::vector<std::string> parts;
    size_t begin = 0;
    for (size_t end = 0; end != text.npos; begin = end + 1) {
        end = text.find(at, begin);
        const std::string part = text.substr(begin, end == text.npos ? end : end - begin);
        if (!part.empty()) parts.push_back(part);
    }
    return parts;
}

}  // namespace bitnetd::bench
