// Goal: a configuration that is wrong as a whole is refused, naming the setting and what to do.
// Method: one wrong thing at a time on top of a good configuration.
#include "supervisor/lifecycle/settings/settings_check.h"

#include <gtest/gtest.h>

namespace bitnetd::supervisor {
namespace {

Params good() {
    Params params;
    params.server_model = {"model.gguf"};
    return params;
}

void expect_refused(const Params& params, const std::string& setting) {
    auto settings = check_settings(params);
    ASSERT_FALSE(settings.ok()) << setting;
    EXPECT_TRUE(settings.error().message.starts_with(setting)) << settings.error().message;
}

TEST(SettingsCheck, DefaultsAreGood) {
    auto settings = check_settings(good());
    ASSERT_TRUE(settings.ok()) << settings.error().message;
    EXPECT_EQ(settings->params.server_listen, std::vector<std::string>{"127.0.0.1:8080"});
    EXPECT_EQ(settings->unix_mode, 0660u);
    ASSERT_EQ(settings->models.size(), 1u);
    EXPECT_EQ(settings->models[0].id, "model");
}

TEST(SettingsCheck, ServingEveryoneMustBeSpelledOut) {
    for (const char* address : {"0.0.0.0:8080", "[::]:8080", "192.0.2.1:80"}) {
        Params params = good();
        params.server_listen = {address};
        expect_refused(params, "server.listen");
        params.auth_mode = "none";
        EXPECT_TRUE(check_settings(params).ok());
    }
}

TEST(SettingsCheck, WrongValues) {
    Params params = good();
    params.log_level = "loud";
    expect_refused(params, "log.level");
    params = good();
    params.log_format = "xml";
    expect_refused(params, "log.format");
    params = good();
    params.auth_mode = "maybe";
    expect_refused(params, "auth.mode");
    params = good();
    params.kv_type = "f64";
    expect_refused(params, "kv.type");
    params = good();
    params.speculation_mode = "always";
    expect_refused(params, "speculation.mode");
    params = good();
    params.worker_kernel_isa = "sse2";
    expect_refused(params, "worker.kernel_isa");
    params = good();
    params.dispatch_request_ring_bytes = 100'000;
    expect_refused(params, "dispatch.request_ring_bytes");
    params = good();
    params.dispatch_token_ring_bytes = 65'537;
    expect_refused(params, "dispatch.token_ring_bytes");
    params = good();
    params.server_unix_mode = "9";
    expect_refused(params, "server.unix_mode");
    params = good();
    params.server_control = "relative.sock";
    expect_refused(params, "server.control");
    params = good();
    params.server_state_dir = "state";
    expect_refused(params, "server.state_dir");
    params = good();
    params.server_models_dir = {"/models", "models"};
    expect_refused(params, "server.models_dir");
    params = good();
    params.rollout_strategy = "green_blue";
    expect_refused(params, "rollout.strategy");
    params = good();
    params.server_heartbeat_interval_ms = 5'000;
    params.server_orphan_timeout_ms = 9'999;
    expect_refused(params, "server.orphan_timeout_ms");
    params = good();
    params.server_frontends = 16;
    params.worker_slots_max = 8;
    expect_refused(params, "worker.slots_max");
    params = good();
    params.server_heartbeat_interval_ms = 10'000;
    expect_refused(params, "server.hang_timeout_ms");
    params = good();
    params.server_listen = {"127.0.0.1:80", "127.0.0.1:80"};
    expect_refused(params, "server.listen");
    params = good();
    params.worker_null_model = 1;
    EXPECT_TRUE(check_settings(params).ok());
    params.server_gpu = {"cuda:0"};
    expect_refused(params, "worker.null_model");
}

TEST(SettingsCheck, WhatFilesDoNotSayAboutModels) {
    Params params = good();
    params.model_i2s_layout = "sequential";
    params.model_tl_tiles = "640x2560=160,64,32;2560x640=320,64,32";
    params.model_activation = "relu2";
    params.model_pooling = "last";
    EXPECT_TRUE(check_settings(params).ok());
    params = good();
    params.model_i2s_layout = "32/128";
    expect_refused(params, "model.i2s_layout: I2_S layout '32/128' is none of 128/32, 64/16");
    params = good();
    params.model_tl_tiles = "640x2560";
    expect_refused(params, "model.tl_tiles: tile '640x2560' is not of the form");
    params = good();
    params.model_accuracy_min = "I2_S=0.995,all=0.9";
    EXPECT_TRUE(check_settings(params).ok());
    params.model_accuracy_min = "I2_S=2";
    expect_refused(params,
                   "model.accuracy_min: '2' is not a minimum; expected a number from 0 to 1");
    params = good();
    params.model_activation = "gelu";
    expect_refused(params, "model.activation");
    params = good();
    params.model_pooling = "max";
    expect_refused(params, "model.pooling");
}

TEST(SettingsCheck, ModelsNeedDistinctIds) {
    Params params = good();
    params.server_model = {};
    expect_refused(params, "server.model");
    params.server_model = {"a/m.gguf", "b/m.gguf"};
    expect_refused(params, "server.model");
    params.server_model = {"a/m.gguf", "other=b/m.gguf"};
    EXPECT_TRUE(check_settings(params).ok());
}

TEST(SettingsCheck, AliasesNameModelsThatAreThere) {
    Params params = good();
    params.server_model = {"a=x.gguf", "org/b=y.gguf"};
    params.server_alias = {"gpt-4o=org/b", "fast=a", "also/fast=a"};
    EXPECT_TRUE(check_settings(params).ok());
    const auto refused = [&params](std::vector<std::string> aliases) {
        params.server_alias = std::move(aliases);
        const auto settings = check_settings(params);
        return settings.ok() ? "" : settings.error().message;
    };
    EXPECT_EQ(refused({"fast=c"}),
              "server.alias: \"fast=c\": there is no model \"c\"; there are \"a\", \"org/b\"");
    EXPECT_EQ(refused({"a=org/b"}), "server.alias: \"a=org/b\": a model is called \"a\" already");
    EXPECT_EQ(refused({"f=a", "f=org/b"}),
              "server.alias: \"f\" is there twice, for \"a\" and \"org/b\"");
    EXPECT_EQ(refused({"fast"}), "server.alias: expected NAME=ID, found \"fast\"");
    for (const std::string& name : {std::string(), std::string(".x"), std::string("a b"),
                                    std::string(128, 'x'), std::string("\xc3\xa4")}) {
        EXPECT_NE(refused({name + "=a"}).find("a name has 1 to 127 letters"), std::string::npos)
            << name;
    }
}

TEST(SettingsCheck, ModelSources) {
    struct Case {
        const char* text;
        const char* id;
        const char* path;
    };
    for (const Case& c :
         {Case{"demo=/m/x.gguf", "demo", "/m/x.gguf"}, Case{"/m/x.gguf", "x", "/m/x.gguf"},
          Case{"x.bin", "x.bin", "x.bin"}, Case{"/m/a=b.gguf", "a=b", "/m/a=b.gguf"},
          Case{"./a=b.gguf", "a=b", "./a=b.gguf"},
          Case{"org/name:7b@v1=f.gguf", "org/name:7b@v1", "f.gguf"},
          Case{"/m/big-00002-of-00003.gguf", "big", "/m/big-00002-of-00003.gguf"},
          Case{"/m/checkpoint/", "checkpoint", "/m/checkpoint/"}}) {
        auto source = parse_model_source(c.text);
        ASSERT_TRUE(source.ok()) << source.error().message;
        EXPECT_EQ(source->id, c.id);
        EXPECT_EQ(source->path, c.path);
    }
    for (const std::string& text :
         {std::string(), std::string("demo="), std::string("/m/.gguf"), std::string("/"),
          std::string(200, 'a') + "=f", "f=" + std::string(600, 'a')}) {
        EXPECT_FALSE(parse_model_source(text).ok()) << text;
    }
}

}  // namespace
}  // namespace bitnetd::supervisor
