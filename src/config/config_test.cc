#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

#include "config/settings.h"

namespace berth::config {
namespace {

struct Config : testing::Test {
  void SetUp() override {
    char name[] = "/tmp/berth-config-XXXXXX";
    folder = ::mkdtemp(name);
    variables["BERTH_HOME"] = folder;
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  void write(const std::string& text) { std::ofstream(folder + "/config.toml") << text; }
  Result<Configuration> read() {
    return load({.environment = Environment(variables), .config_file = file, .flags = flags});
  }
  std::string error() {
    auto loaded = read();
    return loaded ? "" : loaded.error().message();
  }
  std::string origin(std::string_view key) {
    auto loaded = read();
    if (!loaded) return loaded.error().message();
    for (const Origin& origin : loaded->origins) {
      if (origin.key == key) return origin.value + " <- " + origin.source;
    }
    return "no such key";
  }

  std::string folder;
  std::string file;
  std::map<std::string, std::string> variables;
  std::vector<std::pair<std::string, std::string>> flags;
};

TEST_F(Config, DefaultsWithoutAFile) {
  auto loaded = read();
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->settings.registry.default_host, "docker.io");
  EXPECT_EQ(loaded->settings.engine.keep_alive, std::chrono::minutes(5));
  EXPECT_FALSE(loaded->settings.server.port);
  EXPECT_EQ(origin("engine.gpu"), "auto <- default");
}

TEST_F(Config, SettingsOfOneRegistry) {
  write(
      "[registry]\nparallel = 3\n[registry.host.\"Registry.Example:5000\"]\n"
      "mirrors = [\"https://a.example\", \"https://b.example/x\"]\nplain_http = true\n"
      "connections = 4\nlimit_rate = \"50MB\"\nheaders = [\"X-Team: CANARY\"]\n"
      "ca_file = \"/ca.pem\"\nclient_certificate = \"/c.pem\"\nclient_key = \"/k.pem\"\n");
  auto loaded = read();
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->settings.registry.parallel, 3u);
  const RegistryHost& host = loaded->settings.registry.hosts.at("registry.example:5000");
  EXPECT_EQ(host.mirrors, (std::vector<std::string>{"https://a.example", "https://b.example/x"}));
  EXPECT_TRUE(host.plain_http);
  EXPECT_EQ(host.connections, 4u);
  EXPECT_EQ(host.limit_rate, 50'000'000u);
  ASSERT_EQ(host.headers.size(), 1u);
  EXPECT_EQ(host.headers[0].first, "X-Team");
  EXPECT_EQ(host.headers[0].second.reveal(), "CANARY");
  EXPECT_EQ(host.client_key, "/k.pem");
  EXPECT_EQ(origin("registry.host.\"registry.example:5000\".headers"),
            "X-Team: (set) <- config.toml: " + folder + "/config.toml");
}

TEST_F(Config, MistakesInSettingsOfOneRegistryAreNamed) {
  for (const auto& [text, words] : {
           std::pair{"[registry.host.\"a b\"]\n", "no registry"},
           std::pair{"[registry]\nhost = 1\n", "registry.host"},
           std::pair{"[registry.host]\na = 1\n", "write a table for each registry"},
           std::pair{"[registry.host.a]\nmirror = \"x\"\n", "a registry has mirrors"},
           std::pair{"[registry.host.a]\nplain_http = 1\n", "true or false"},
           std::pair{"[registry.host.a]\nconnections = 65\n", "from 1 to 64"},
           std::pair{"[registry.host.a]\nlimit_rate = \"fast\"\n", "bytes a second"},
           std::pair{"[registry.host.a]\nlimit_rate = 0\n", "bytes a second"},
           std::pair{"[registry.host.a]\nheaders = [\"no colon\"]\n", "header fields"},
           std::pair{"[registry.host.a]\nheaders = [\"A: b\\r\\nC: d\"]\n", "header fields"},
           std::pair{"[registry.host.a]\nheaders = [\"Authorization: x\"]\n", "berth login"},
           std::pair{"[registry.host.a]\nclient_key = \"/k\"\n", "go together"},
       }) {
    write(text);
    EXPECT_NE(error().find(words), std::string::npos) << text << error();
  }
}

TEST_F(Config, Webhooks) {
  write(
      "[registry_server]\nquotas = [\"team/** 1GB\"]\n[registry_server.webhook.audit]\n"
      "url = \"https://audit.example/x\"\nformat = \"distribution\"\nevents = [\"pull\"]\n"
      "repositories = [\"team/**\"]\nheaders = [\"Authorization: CANARY\"]\n"
      "secret = \"CANARY\"\nattempts = 3\n");
  auto loaded = read();
  ASSERT_TRUE(loaded) << loaded.error().message();
  const Webhook& webhook = loaded->settings.registry_server.webhooks.at("audit");
  EXPECT_EQ(webhook.url, "https://audit.example/x");
  EXPECT_EQ(webhook.format, "distribution");
  EXPECT_EQ(webhook.events, std::vector<std::string>{"pull"});
  EXPECT_EQ(webhook.repositories, std::vector<std::string>{"team/**"});
  EXPECT_EQ(webhook.headers.at(0).second.reveal(), "CANARY");
  EXPECT_EQ(webhook.secret.reveal(), "CANARY");
  EXPECT_EQ(webhook.attempts, 3u);
  EXPECT_EQ(origin("registry_server.webhook.\"audit\".secret"),
            "(set) <- config.toml: " + folder + "/config.toml");
  for (const auto& [text, words] : {
           std::pair{"[registry_server.webhook.\"a b\"]\nurl = \"x\"\n", "no name of a webhook"},
           std::pair{"[registry_server.webhook.a]\n", "url is missing"},
           std::pair{"[registry_server.webhook.a]\nformat = \"xml\"\n", "cloudevents"},
           std::pair{"[registry_server.webhook.a]\nevents = [\"mount\"]\n", "no event"},
           std::pair{"[registry_server.webhook.a]\nattempts = 0\n", "from 1 to 1000"},
           std::pair{"[registry_server.webhook.a]\nuri = \"x\"\n", "a webhook has url"},
       }) {
    write(text);
    EXPECT_NE(error().find(words), std::string::npos) << text << error();
  }
}

TEST_F(Config, WaitsOfTheNetwork) {
  auto loaded = read();
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->settings.network.connect_timeout, std::chrono::seconds(10));
  EXPECT_EQ(loaded->settings.network.stall_timeout, std::chrono::seconds(15));
  EXPECT_EQ(loaded->settings.network.retry_after, std::chrono::seconds(120));
  write("[network]\nstall_timeout = \"200ms\"\nlimit_rate = \"10M\"\n");
  loaded = read();
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->settings.network.stall_timeout, std::chrono::milliseconds(200));
  EXPECT_EQ(loaded->settings.network.limit_rate, 10'000'000u);
}

TEST_F(Config, LaterSourcesWin) {
  write(
      "[registry]\ndefault_host = \"file.example\"\nparallel = 8\n[server]\nlisten = "
      "[\"127.0.0.1:1\", \"[::1]:2\"]\n");
  EXPECT_EQ(origin("registry.default_host"),
            "file.example <- config.toml: " + folder + "/config.toml");
  EXPECT_EQ(origin("server.listen"),
            "127.0.0.1:1,[::1]:2 <- config.toml: " + folder + "/config.toml");
  variables["DEFAULT_REGISTRY"] = "dmr.example";
  EXPECT_EQ(origin("registry.default_host"), "dmr.example <- environment: DEFAULT_REGISTRY");
  variables["BERTH_REGISTRY_DEFAULT_HOST"] = "own.example";
  EXPECT_EQ(origin("registry.default_host"),
            "own.example <- environment: BERTH_REGISTRY_DEFAULT_HOST");
  flags.emplace_back("registry.default_host", "flag.example");
  EXPECT_EQ(origin("registry.default_host"), "flag.example <- flag");
  EXPECT_EQ(origin("registry.parallel"), "8 <- config.toml: " + folder + "/config.toml");
}

TEST_F(Config, VariablesOfDockerModelRunner) {
  variables["MODEL_RUNNER_PORT"] = "12434";
  variables["MODELS_PATH"] = "/srv/models";
  variables["INSECURE_REGISTRY"] = "true";
  variables["MODEL_RUNNER_REGISTRY_MIRRORS"] = "https://a.example, https://b.example/x";
  variables["LLAMA_SERVER_PATH"] = "/opt/llama";
  variables["DO_NOT_TRACK"] = "1";
  auto loaded = read();
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->settings.server.port, 12434);
  EXPECT_EQ(loaded->paths.store, "/srv/models");
  EXPECT_TRUE(loaded->settings.registry.plain_http);
  EXPECT_EQ(loaded->settings.registry.mirrors,
            (std::vector<std::string>{"https://a.example", "https://b.example/x"}));
  EXPECT_EQ(loaded->settings.engine.llama_server, "/opt/llama");
  EXPECT_TRUE(loaded->settings.do_not_track);
}

TEST_F(Config, SecretsAreNotShown) {
  variables["HF_TOKEN"] = "hf_abc";
  EXPECT_EQ(origin("hugging_face_token"), "(set) <- environment: HF_TOKEN");
  EXPECT_EQ(origin("client.token"), " <- default");
}

TEST_F(Config, AnUnknownKeyNamesLineAndNearest) {
  write("[server]\n\nlistn = \"127.0.0.1:1\"\n");
  EXPECT_EQ(error(), folder +
                         "/config.toml line 3: there is no setting \"server.listn\"; the nearest "
                         "is \"server.listen\"");
  write("[servr]\nlisten = []\n");
  EXPECT_NE(error().find("there is no setting \"servr\""), std::string::npos) << error();
  write("");
  flags.emplace_back("engine.gpus", "auto");
  EXPECT_EQ(error(), "there is no setting \"engine.gpus\"; the nearest is \"engine.gpu\"");
}

TEST_F(Config, BadValuesNameWhereAndWhatIsExpected) {
  write("[engine]\nmax_models = 0\n");
  EXPECT_EQ(error(), folder +
                         "/config.toml line 2: engine.max_models: expected a whole number from 1 "
                         "to 1024, not \"0\"");
  write("[engine]\nkeep_alive = \"soon\"\n");
  EXPECT_NE(error().find("expected a duration"), std::string::npos);
  write("[engine]\ngpu = [\"auto\"]\n");
  EXPECT_NE(error().find("expected one value, not a list"), std::string::npos);
  write("[engine]\ngpu = 1.5\n");
  EXPECT_NE(error().find("expected a string, a whole number, true or false"), std::string::npos);
  write("[engine\n");
  EXPECT_NE(error().find("config.toml line 1"), std::string::npos) << error();
  write("");
  variables["MODEL_RUNNER_PORT"] = "70000";
  EXPECT_EQ(error(),
            "environment variable MODEL_RUNNER_PORT: server.port: expected a whole number from 0 "
            "to 65535, not \"70000\"");
}

TEST_F(Config, ANamedFileMustExist) {
  EXPECT_EQ(error(), "");
  file = folder + "/other.toml";
  EXPECT_NE(error().find("other.toml"), std::string::npos);
}

TEST_F(Config, AnOverlongFileIsRefused) {
  write(std::string(2 << 20, '#'));
  auto loaded = read();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code(), Code::kTooLarge);
}

TEST_F(Config, EveryKeyHasItsOwnVariable) {
  std::set<std::string> names;
  const std::set<std::string> shared = {"all_proxy", "ALL_PROXY"};  // of both kinds of proxies
  for (const KeyInfo& key : known_keys()) {
    EXPECT_FALSE(key.doc.empty());
    for (const std::string& name : key.environment)
      EXPECT_TRUE(shared.contains(name) || names.insert(name).second) << name;
  }
}

TEST_F(Config, XdgFolders) {
  const Environment environment({{"HOME", "/home/ann"},
                                 {"XDG_CACHE_HOME", "/var/cache/ann"},
                                 {"XDG_DATA_HOME", "not/absolute"},
                                 {"XDG_RUNTIME_DIR", "/run/user/7"}});
  const Paths paths = resolve_paths(environment).value();
  EXPECT_EQ(paths.config_file, "/home/ann/.config/berth/config.toml");
  EXPECT_EQ(paths.data, "/home/ann/.local/share/berth");
  EXPECT_EQ(paths.cache, "/var/cache/ann/berth");
  EXPECT_EQ(paths.store, "/home/ann/.local/share/berth/store");
  EXPECT_EQ(paths.socket, "/run/user/7/berth/berth.sock");
}

TEST_F(Config, AStoreElsewhereHasItsOwnSocket) {
  const Environment environment({{"BERTH_HOME", "/b"}});
  EXPECT_EQ(resolve_paths(environment)->socket, "/b/run/berth.sock");
  const std::string other = resolve_paths(environment, "", "/srv/models")->socket;
  EXPECT_NE(other, "/b/run/berth.sock");
  EXPECT_NE(other, resolve_paths(environment, "", "/srv/more")->socket);
}

TEST_F(Config, ALongHomeGetsAShortRuntimeFolder) {
  const Environment environment({{"BERTH_HOME", "/" + std::string(200, 'x')}});
  const Paths paths = resolve_paths(environment).value();
  EXPECT_TRUE(paths.runtime.starts_with("/tmp/berth-")) << paths.runtime;
  EXPECT_LE(paths.runtime.size() + kSocketNameRoom, kMaxSocketPath);
  const Environment other({{"BERTH_HOME", "/" + std::string(200, 'y')}});
  EXPECT_NE(paths.runtime, resolve_paths(other)->runtime);
  const Environment long_xdg({{"HOME", "/h"}, {"XDG_RUNTIME_DIR", "/" + std::string(90, 'x')}});
  EXPECT_TRUE(resolve_paths(long_xdg)->runtime.starts_with("/tmp/berth-"));
}

TEST_F(Config, AnOverlongSocketIsRefused) {
  auto paths = resolve_paths(Environment({{"HOME", "/h"}}), "", "", "/" + std::string(107, 's'));
  ASSERT_FALSE(paths);
  EXPECT_EQ(paths.error().code(), Code::kInvalid);
}

TEST_F(Config, TheRuntimeFolderMustBePrivate) {
  Paths paths;
  paths.runtime = folder + "/a/run";
  ASSERT_TRUE(prepare_runtime(paths));
  ASSERT_TRUE(prepare_runtime(paths));
  ::chmod(paths.runtime.c_str(), 0755);
  EXPECT_EQ(prepare_runtime(paths).error().code(), Code::kDenied);
  std::filesystem::remove(paths.runtime);
  std::filesystem::create_directory_symlink(folder, paths.runtime);
  EXPECT_EQ(prepare_runtime(paths).error().code(), Code::kDenied);
}

}  // namespace
}  // namespace berth::config
