// Goal: what SIGHUP read becomes the work it takes, no more and no less; no row is forgotten; and
// what a reload left undone is found by the next one. Method: one changed row at a time for each
// class; every row of the table for its class's effect; servers of which parts are as before.
#include "supervisor/lifecycle/settings/settings_diff.h"

#include <gtest/gtest.h>

#include "supervisor/lifecycle/settings/command_line.h"

namespace bitnetd::supervisor {
namespace {

Params good() {
    Params params;
    params.server_model = {"demo=/m/demo.gguf", "other=/m/other.gguf"};
    params.server_listen = {"127.0.0.1:8080"};
    return params;
}

Settings checked(Params params) {
    auto settings = check_settings(std::move(params));
    EXPECT_TRUE(settings.ok()) << settings.error().message;
    return std::move(settings).value();
}

// One frontend, and a worker for each model, all as the settings say.
Running all_of(const Settings& settings) {
    Running running{settings, {}, settings.listen, {&settings.params}, {}};
    for (const ModelSource& model : settings.models) {
        running.models.push_back({model, &settings.params});
        running.workers.push_back({model.id, &settings.params});
    }
    return running;
}

SettingsChange change_to(Params params) {
    const Settings before = checked(good());
    return diff(all_of(before), checked(std::move(params)));
}

std::vector<std::string> ids(const std::vector<ModelSource>& models) {
    std::vector<std::string> out;
    for (const ModelSource& model : models)
        out.push_back(model.id);
    return out;
}

std::vector<std::string> texts(const std::vector<ListenAddress>& addresses) {
    std::vector<std::string> out;
    for (const ListenAddress& address : addresses)
        out.push_back(listen_address_text(address.address, address.length));
    return out;
}

using Texts = std::vector<std::string>;

TEST(SettingsDiff, NothingChanged) {
    const SettingsChange change = change_to(good());
    EXPECT_TRUE(change.empty());
    EXPECT_FALSE(change.frontends || change.workers);
}

// Every row alone, past check_settings(): its class decides what is to be done, and nothing else
// is.
TEST(SettingsDiff, EveryRowDoesWhatItsClassSays) {
    for (const ParamRow& row : param_rows()) {
        if (row.reload == Reload::kModels || row.reload == Reload::kListen) continue;
        const Settings before = checked(good());
        Settings after = before;
        const size_t dots = row.range_text.find(" .. ");
        std::string text = row.range_text.empty() ? "x" : row.range_text.substr(0, dots);
        if (text == row.default_text) text = row.range_text.substr(dots + 4);
        ASSERT_TRUE(set_param(after.params, row.section, row.name, text).ok()) << row.key();

        const SettingsChange change = diff(all_of(before), after);
        EXPECT_EQ(change.keys, Texts{row.key()});
        const auto is = [&](std::initializer_list<Reload> classes) {
            return std::find(classes.begin(), classes.end(), row.reload) != classes.end();
        };
        EXPECT_EQ(change.frontends, is({Reload::kFrontends, Reload::kBoth, Reload::kAll}))
            << row.key();
        EXPECT_EQ(change.workers, is({Reload::kWorkers, Reload::kBoth})) << row.key();
        EXPECT_EQ(change.models_swapped.size(), is({Reload::kLoad, Reload::kAll}) ? 2u : 0u)
            << row.key();
        EXPECT_EQ(change.need_restart, is({Reload::kRestart}) ? Texts{row.key()} : Texts{});
    }
}

// Rows that stand for their readers: who reads a row decides its class.
TEST(SettingsDiff, WhoReadsARowDecides) {
    const auto reload_of = [](std::string_view key) { return find_param_row(key)->reload; };
    EXPECT_EQ(reload_of("log.level"), Reload::kLive);
    EXPECT_EQ(reload_of("server.alias"), Reload::kFrontends);
    EXPECT_EQ(reload_of("worker.threads"), Reload::kWorkers);
    EXPECT_EQ(reload_of("server.hang_timeout_ms"), Reload::kWorkers);
    EXPECT_EQ(reload_of("kv.type"), Reload::kBoth);            // arena, pages, fingerprint
    EXPECT_EQ(reload_of("model.i2s_layout"), Reload::kLoad);   // how weights are unpacked
    EXPECT_EQ(reload_of("worker.kernel_isa"), Reload::kLoad);  // how weights are packed
    EXPECT_EQ(reload_of("worker.bf16_inputs"), Reload::kAll);  // also in the fingerprint
    EXPECT_EQ(reload_of("server.model"), Reload::kModels);
    EXPECT_EQ(reload_of("server.listen"), Reload::kListen);
    EXPECT_EQ(reload_of("server.control"), Reload::kRestart);
}

TEST(SettingsDiff, NewWorkersComeWithModelsThatArePreparedAgain) {
    Params params = good();
    params.worker_threads = 2;
    params.model_pooling = "mean";
    const SettingsChange change = change_to(params);
    EXPECT_EQ(ids(change.models_swapped), (Texts{"demo", "other"}));
    EXPECT_FALSE(change.workers);
    EXPECT_EQ(change.keys, (Texts{"model.pooling", "worker.threads"}));
}

TEST(SettingsDiff, ModelsComeGoAndChangeTheirFile) {
    Params params = good();
    params.server_model = {"third=/m/third.gguf", "demo=/m/demo-2.gguf"};
    const SettingsChange change = change_to(params);
    EXPECT_EQ(ids(change.models_added), Texts{"third"});
    EXPECT_EQ(ids(change.models_removed), Texts{"other"});
    ASSERT_EQ(ids(change.models_swapped), Texts{"demo"});
    EXPECT_EQ(change.models_swapped[0].path, "/m/demo-2.gguf");
    EXPECT_FALSE(change.frontends || change.workers);
}

TEST(SettingsDiff, AnotherOrderOfModelsChangesNoModel) {
    Params params = good();
    params.server_model = {params.server_model[1], params.server_model[0]};
    const SettingsChange change = change_to(params);
    EXPECT_EQ(change.keys, Texts{"server.model"});
    EXPECT_TRUE(change.models_added.empty() && change.models_removed.empty());
    EXPECT_TRUE(change.models_swapped.empty());
}

TEST(SettingsDiff, WhatTheListNamesAndNobodyServesIsLoaded) {
    const Settings settings = checked(good());
    Running running = all_of(settings);
    running.models.pop_back();
    EXPECT_EQ(ids(diff(running, settings).models_missing), Texts{"other"});
    Params params = good();
    params.server_model[1] = "other=/m/mended.gguf";
    EXPECT_EQ(ids(diff(running, checked(params)).models_added), Texts{"other"});
    params.server_model.pop_back();
    EXPECT_TRUE(diff(running, checked(params)).models_removed.empty());
}

TEST(SettingsDiff, WhatOperatorsLoadedStaysWhereTheListIsAsBefore) {
    const Settings settings = checked(good());
    Running running = all_of(settings);
    running.models[0].source.path = "/m/swapped.gguf";
    running.models.push_back({{"extra", "/m/extra.gguf"}, &settings.params});
    EXPECT_TRUE(diff(running, settings).empty());

    Params params = good();
    params.server_model[0] = "demo=/m/demo-2.gguf";
    params.server_model.push_back("extra=/m/extra.gguf");
    EXPECT_EQ(ids(diff(running, checked(params)).models_swapped), Texts{"demo"});

    params = good();
    params.model_pooling = "mean";
    const SettingsChange again = diff(running, checked(params));
    ASSERT_EQ(ids(again.models_swapped), (Texts{"demo", "other", "extra"}));
    EXPECT_EQ(again.models_swapped[0].path, "/m/swapped.gguf");
}

TEST(SettingsDiff, PartsOfAnOlderConfigurationAreFound) {
    const Settings settings = checked(good());
    Params old = settings.params;
    old.api_strict = 1;
    old.worker_threads = 2;
    old.model_pooling = "mean";

    Running running = all_of(settings);
    running.frontends = {&old};
    SettingsChange change = diff(running, settings);
    EXPECT_TRUE(change.keys.empty() && !change.empty());
    EXPECT_TRUE(change.frontends && !change.workers && change.models_swapped.empty());

    running.frontends = {&settings.params};
    running.workers[1].params = &old;
    change = diff(running, settings);
    EXPECT_TRUE(change.workers && !change.frontends && change.keeps_bytes);
    old.kv_type = "f16";
    EXPECT_FALSE(diff(running, settings).keeps_bytes);

    running.models[1].params = &old;
    change = diff(running, settings);
    EXPECT_EQ(ids(change.models_swapped), Texts{"other"});
    EXPECT_FALSE(change.workers);
}

TEST(SettingsDiff, WhatIsInForceIsWhatThereIs) {
    Params params = good();
    params.server_model.push_back("leaves=/m/leaves.gguf");
    const Settings before = checked(params);
    params = good();
    params.server_model = {"demo=/m/demo-2.gguf", "other=/m/other-2.gguf", "third=/m/third.gguf",
                           "fourth=/m/fourth.gguf"};
    params.server_listen = {"[::1]:8080"};
    params.worker_threads = 2;
    params.server_kill_grace_ms = 50;
    const Settings wanted = checked(params);
    const std::vector<ServedModel> served = {{{"demo", "/m/demo-2.gguf"}, nullptr},
                                             {{"other", "/m/other.gguf"}, nullptr},
                                             {{"third", "/m/third.gguf"}, nullptr}};

    const Settings none_rolled = settings_in_force(before, wanted, before.params, served);
    EXPECT_EQ(none_rolled.params.server_model,
              (Texts{"demo=/m/demo-2.gguf", "other=/m/other.gguf", "third=/m/third.gguf"}));
    EXPECT_EQ(ids(none_rolled.models), (Texts{"demo", "other", "third"}));
    EXPECT_EQ(texts(none_rolled.listen), Texts{"127.0.0.1:8080"});
    EXPECT_EQ(none_rolled.params.worker_threads, before.params.worker_threads);

    const Settings rolled = settings_in_force(before, wanted, wanted.params, served);
    EXPECT_EQ(texts(rolled.listen), Texts{"[::1]:8080"});
    EXPECT_EQ(rolled.params.worker_threads, 2u);
    EXPECT_EQ(rolled.params.server_kill_grace_ms, before.params.server_kill_grace_ms);
}

TEST(SettingsDiff, AModelWrittenDifferentlyIsTheSame) {
    Params params = good();
    params.server_model = {"/m/demo.gguf", "other=/m/other.gguf"};
    const SettingsChange change = change_to(params);
    EXPECT_EQ(change.keys, Texts{"server.model"});
    EXPECT_TRUE(change.models_added.empty() && change.models_removed.empty());
    EXPECT_TRUE(change.models_swapped.empty());
}

TEST(SettingsDiff, ListeningSocketsComeAndGo) {
    Params params = good();
    params.server_listen = {"[::1]:8080", "unix:/run/b.sock"};
    SettingsChange change = change_to(params);
    EXPECT_EQ(texts(change.listen_added), (Texts{"[::1]:8080", "unix:/run/b.sock"}));
    EXPECT_EQ(texts(change.listen_removed), Texts{"127.0.0.1:8080"});
    params.server_listen = {"localhost:8080"};
    change = change_to(params);
    EXPECT_EQ(change.keys, Texts{"server.listen"});
    EXPECT_TRUE(change.listen_added.empty() && change.listen_removed.empty());
    // What is not configured is the default address.
    params.server_listen = {};
    EXPECT_TRUE(change_to(params).empty());
}

TEST(SettingsDiff, SomeRowsWaitForARestart) {
    Params params = good();
    params.server_control = "/run/c.sock";
    params.server_state_dir = "/var/lib/b";
    const SettingsChange change = change_to(params);
    EXPECT_EQ(change.need_restart, (Texts{"server.control", "server.state_dir"}));
    EXPECT_FALSE(change.frontends || change.workers);
}

}  // namespace
}  // namespace bitnetd::supervisor
