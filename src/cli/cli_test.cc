// Whole command lines against a fake store: words in, output and exit status out.
#include "cli/cli.h"

#include <gtest/gtest.h>

#include "cli/fake_shell.h"
#include "cli/golden.h"
#include "cli/server_flags.h"

namespace berth::cli {
namespace {

FakeShell shell_with_models() {
  FakeShell shell;
  control::Model qwen = fake_model("docker.io/ai/Qwen3:0.6B-F16", 'b');
  qwen.tags.push_back("docker.io/ai/qwen3:latest");
  qwen.architecture = "qwen3";
  qwen.context_size = 40960;
  control::Model nameless = fake_model("", 'd');
  nameless.tags.clear();
  nameless.context_size.reset();
  control::Model foreign = fake_model("localhost:5000/team/smollm2:v1", 'e');
  foreign.parameters = "bad\x1b[31m";
  shell.state.here = {qwen, fake_model("docker.io/ai/smollm2:latest", 'a'), nameless, foreign};
  return shell;
}

// A session as people see it: the command, standard output, standard error, the status unless 0.
std::string session(FakeShell& shell, const std::vector<std::string>& words) {
  const int status = shell.run(words);
  std::string text = fmt::format("$ berth {}\n{}", fmt::join(words, " "), shell.out);
  if (!shell.err.empty()) text += "--- standard error\n" + shell.err;
  if (status != 0) text += fmt::format("--- status {}\n", status);
  return text + "\n";
}

void check_sessions(const std::string& name, FakeShell& shell,
                    const std::vector<std::vector<std::string>>& commands) {
  std::string text;
  for (const auto& words : commands) text += session(shell, words);
  expect_golden("src/cli/testdata/" + name + ".txt", text);
}

TEST(CliGolden, Listings) {
  FakeShell shell = shell_with_models();
  check_sessions("list", shell,
                 {{"list"},
                  {"ls", "smollm2"},
                  {"list", "ai/qwen3:latest"},
                  {"list", "localhost:5000/team/smollm2"},
                  {"list", "absent"},
                  {"list", "aaaaaaaaaaaa"},
                  {"list", "-q"},
                  {"list", "--json", "smollm2"},
                  {"list", "--openai", "smollm2"}});
}

TEST(CliGolden, OneModel) {
  FakeShell shell = shell_with_models();
  check_sessions("inspect", shell,
                 {{"inspect", "smollm2"},
                  {"show", "smollm2"},
                  {"inspect", "--openai", "smollm2"},
                  {"inspect", "--manifest", "smollm2"},
                  {"inspect", "absent"},
                  {"inspect", "--openai", "--remote", "x"}});
}

TEST(CliGolden, TagAndRemove) {
  FakeShell shell = shell_with_models();
  check_sessions("remove", shell,
                 {{"tag", "smollm2", "docker.io/me/x:1"},
                  {"prune", "--dry-run"},
                  {"prune", "--json"},
                  {"rm", "absent", "smollm2", "gone"},
                  {"purge"},
                  {"purge", "--force"},
                  {"list"}});
}

TEST(CliGolden, PullAndPush) {
  FakeShell shell;
  shell.state.remote = {fake_model("docker.io/ai/smollm2:latest", 'a')};
  check_sessions("transfer", shell,
                 {{"pull", "ai/smollm2", "--progress", "none"},
                  {"pull", "-q", "ai/smollm2"},
                  {"pull", "ai/smollm2", "--progress", "json"},
                  {"push", "smollm2"},
                  {"push", "absent"}});
}

TEST(CliGolden, PartialPull) {
  FakeShell shell;
  shell.state.remote = {fake_model("docker.io/ai/smollm2:latest", 'a')};
  check_sessions(
      "partial", shell,
      {{"pull", "ai/smollm2", "--progress", "none", "--include", "*.json", "--include", "onnx/**"},
       {"list"},
       {"list", "--json"},
       {"show", "smollm2"},
       {"inspect", "smollm2"}});
  EXPECT_EQ(shell.state.included, (std::vector<std::string>{"*.json", "onnx/**"}));
}

TEST(CliGolden, Transfer) {
  FakeShell shell;
  check_sessions("copy", shell,
                 {{"transfer", "ai/smollm2", "registry.lan/ai/smollm2", "--progress", "plain"},
                  {"copy", "-q", "ai/smollm2", "registry.lan/ai/smollm2"},
                  {"copy", "--referrers", "ai/smollm2", "registry.lan/ai/smollm2", "--json"},
                  {"transfer", "ai/smollm2"}});
  ASSERT_EQ(shell.state.transfers.size(), 3u);
  EXPECT_TRUE(shell.state.transfers[2].referrers);
}

TEST(CliGolden, Fsck) {
  FakeShell shell;
  shell.state.check = {.blobs = 3, .bytes = 91739808, .took = std::chrono::milliseconds(100)};
  check_sessions("fsck-clean", shell, {{"fsck"}, {"fsck", "--read-data"}});
  shell.state.check.findings = {
      {.kind = "missing",
       .what = "sha256:" + std::string(64, 'a'),
       .message = "its file is not there; needed by docker.io/ai/x:latest",
       .models = {"docker.io/ai/x:latest"}},
      {.kind = "index",
       .what = "index.json",
       .message = "the list of models for other tools is old or damaged"},
      {.kind = "session",
       .what = "00000000deadbeef",
       .message = "a process died and left its leases, which protect nothing",
       .harmless = true}};
  check_sessions("fsck", shell,
                 {{"fsck"}, {"fsck", "--repair", "--read-data"}, {"fsck", "--repair", "--json"}});
}

TEST(CliGolden, Running) {
  FakeShell shell = shell_with_models();
  shell.state.running = {
      {.backend = "llama.cpp",
       .model = "docker.io/ai/smollm2:latest",
       .mode = "completion",
       .last_used = kFakeNow - std::chrono::minutes(1),
       .device = "Vulkan0 (RTX)",
       .gpu_layers = 31,
       .memory = 345000000},
      {.backend = "llama.cpp",
       .model = "sha256:" + std::string(64, 'b'),
       .mode = "embedding",
       .keep_alive = std::chrono::milliseconds(-1),
       .device = "CPU"},
      {.backend = "llama.cpp", .model = "x", .mode = "completion", .loading = true}};
  shell.state.status = {
      .running = true,
      .endpoint = "http://localhost:12434",
      .backends = {{"vllm", "Not Installed", ""}, {"llama.cpp", "Running", "b9879"}},
      .sandbox = {{"namespaces", "on"}, {"seccomp", "on"}},
      .store = "/home/me/.local/share/berth"};
  check_sessions("running", shell,
                 {{"ps"},
                  {"ps", "--json"},
                  {"df"},
                  {"df", "--json"},
                  {"status"},
                  {"status", "--json"},
                  {"unload"},
                  {"unload", "--all", "x"},
                  {"unload", "--all"},
                  {"unload", "smollm2"},
                  {"ps"},
                  {"logs"},
                  {"logs", "--no-engines"},
                  {"requests"},
                  {"requests", "--include-existing"}});
}

TEST(CliGolden, Configure) {
  FakeShell shell;
  check_sessions("configure", shell,
                 {{"configure", "--context-size", "8192", "--keep-alive=-1", "--think=false",
                   "smollm2", "--", "--threads", "4"},
                  {"config", "--mode", "embedding", "other"},
                  {"configure", "show"},
                  {"configure", "show", "--format", "table"},
                  {"configure"},
                  {"configure", "a", "b"},
                  {"configure", "--mode", "dreaming", "a"},
                  {"configure", "--context-size", "many", "a"},
                  {"configure", "--hf_overrides", "{}", "a"}});
}

TEST(CliGolden, Machine) {
  FakeShell shell = shell_with_models();
  check_sessions("machine", shell,
                 {{"token", "create", "--name", "ci", "--expires", "30d", "--scope", "pull"},
                  {"token", "list"},
                  {"token", "revoke", "id0"},
                  {"token", "revoke", "id0"},
                  {"token", "create", "--expires", "soon"},
                  {"settings"},
                  {"settings", "--json"},
                  {"install-runner"},
                  {"install-runner", "--port", "1"},
                  {"uninstall-runner"},
                  {"logout", "example.com"}});
}

TEST(CliGolden, Mistakes) {
  FakeShell shell = shell_with_models();
  check_sessions("mistakes", shell,
                 {{"pul", "x"},
                  {"frobnicate"},
                  {"pull"},
                  {"pull", "a", "b"},
                  {"pull", "--quite", "x"},
                  {"list", "--format", "yaml"},
                  {"--stor", "x", "list"},
                  {"token", "creat"},
                  {"gateway", "--port", "4000"},
                  {"search", "llama"},
                  {"run", "nvcr.io/nim/x", "hi"},
                  {"run", "smollm2", "--websearch", "hi"},
                  {"package", "x"},
                  {"package", "--gguf", "a", "--from", "b", "x"},
                  {"package", "--dduf", "a", "x"},
                  {"package", "--gguf", "a", "--annotation", "novalue", "x"},
                  {"package", "--gguf", "a", "--created", "yesterday", "x"},
                  {"help", "nothing"},
                  {"completion", "tcsh"},
                  {"pull", "evil\x1b[2J", "b"}});
}

TEST(CliGolden, Help) {
  FakeShell shell;
  check_sessions("help", shell,
                 {{},
                  {"pull", "--help"},
                  {"help", "configure", "show"},
                  {"token"},
                  {"run", "-h"},
                  {"package", "--help"},
                  {"--version"}});
}

TEST(Cli, HelpVersionAndCompletionOpenNoStore) {
  FakeShell shell;
  for (const auto& words : std::vector<std::vector<std::string>>{{"--help"},
                                                                 {"version"},
                                                                 {"--version"},
                                                                 {"help", "run"},
                                                                 {"completion", "bash"},
                                                                 {"__complete", "--", "pu"},
                                                                 {"run", "--help"}}) {
    EXPECT_EQ(shell.run(words), 0) << words[0];
  }
  EXPECT_EQ(shell.state.connected, 0);
}

TEST(Cli, VersionAsksTheServerThatIsThere) {
  FakeShell shell;
  EXPECT_EQ(shell.run({"version"}), 0);
  EXPECT_EQ(shell.out.find("Server"), std::string::npos);
  EXPECT_EQ(shell.run({"version", "--server"}), 0);
  EXPECT_NE(shell.out.find("Server:\n Version:    (not reachable)"), std::string::npos)
      << shell.out;
  EXPECT_NE(shell.err.find("berth serve"), std::string::npos) << shell.err;
  shell.state.daemon = true;
  EXPECT_EQ(shell.run({"version"}), 0);
  EXPECT_NE(shell.out.find("Server:\n Version:    9.9.9"), std::string::npos) << shell.out;
  shell.state.daemon = false;
  shell.variables["MODEL_RUNNER_HOST"] = "http://elsewhere:12434";
  EXPECT_EQ(shell.run({"version", "--json"}), 0);
  EXPECT_NE(shell.out.find("9.9.9"), std::string::npos);
}

TEST(Cli, EveryBackendIsClosed) {
  FakeShell shell = shell_with_models();
  shell.run({"list"});
  shell.run({"inspect", "absent"});
  EXPECT_EQ(shell.state.connected, 2);
  EXPECT_EQ(shell.state.closed, 2);
}

TEST(Cli, GlobalFlagsComeFromTheEnvironmentAndAreOverruledByWords) {
  FakeShell shell;
  shell.variables = {{"MODEL_RUNNER_HOST", "http://a:1"}, {"BERTH_HOME", "/env"}};
  shell.run({"--store", "/flag", "list", "--log-level", "error"});
  ASSERT_EQ(shell.globals.size(), 1u);
  EXPECT_EQ(shell.globals[0].host, "http://a:1");
  EXPECT_EQ(shell.globals[0].store, "/flag");
  EXPECT_EQ(shell.globals[0].log_level, "error");
}

TEST(Cli, DefaultRegistryChangesFamiliarNames) {
  FakeShell shell;
  shell.state.here = {fake_model("registry.example.com/ai/smollm2:latest", 'a')};
  shell.variables["DEFAULT_REGISTRY"] = "registry.example.com";
  shell.run({"list"});
  EXPECT_NE(shell.out.find("\nsmollm2  "), std::string::npos) << shell.out;
}

TEST(Cli, ARefusedLoginSuggestsLogin) {
  FakeShell shell;
  shell.state.fail_with = Error(Code::kUnauthenticated, "registry.example.com refuses");
  EXPECT_EQ(shell.run({"pull", "registry.example.com/team/x"}), 4);
  EXPECT_EQ(shell.err,
            "berth: registry.example.com refuses\nlog in with: berth login registry.example.com\n");
}

TEST(Cli, AHintThatTheSentenceHoldsAlreadyIsNotRepeated) {
  FakeShell shell;
  shell.state.fail_with = Error(Code::kUnauthenticated, "refused; log in with: berth login x");
  shell.run({"pull", "x/team/x"});
  EXPECT_EQ(shell.err, "berth: refused; log in with: berth login x\n");
}

TEST(Cli, ErrorsFromOutsideCannotDriveTheTerminal) {
  FakeShell shell;
  shell.state.fail_with = Error(Code::kUnavailable, "bad\x1b]0;title\x07\nsecond line");
  EXPECT_EQ(shell.run({"pull", "x"}), 5);
  EXPECT_EQ(shell.err, "berth: bad\\x1b]0;title\\x07\nsecond line\n");
}

TEST(Cli, CtrlCCancelsACommandWith130) {
  FakeShell shell;
  shell.state.signal_during_pull = true;
  EXPECT_EQ(shell.run({"pull", "x"}), 130);
  EXPECT_EQ(shell.state.closed, 1);
}

TEST(Cli, StatusIsOneWithoutAServer) {
  FakeShell shell;
  EXPECT_EQ(shell.run({"status"}), 1);
  EXPECT_EQ(shell.run({"status", "--json"}), 0);
}

TEST(Cli, QuietPullIsQuietWhateverProgressIsAskedFor) {
  FakeShell shell;
  shell.state.remote = {fake_model("docker.io/ai/smollm2:latest", 'a')};
  EXPECT_EQ(shell.run({"pull", "-q", "--progress", "json", "smollm2"}), 0);
  EXPECT_EQ(shell.err, "");
  EXPECT_EQ(std::ranges::count(shell.out, '\n'), 1);
}

TEST(Cli, LoginWarnsOfAPasswordInAFile) {
  FakeShell shell;
  shell.input.text = "s3cret\n";
  shell.state.login_result = {.plain = true, .where = "/home/me/.docker/config.json"};
  EXPECT_EQ(shell.run({"login", "-u", "me", "--password-stdin", "example.com"}), 0);
  EXPECT_EQ(shell.out, "Login Succeeded\n");
  EXPECT_NE(shell.err.find("unencrypted in /home/me/.docker/config.json"), std::string::npos)
      << shell.err;
  shell.state.login_result.plain = false;
  EXPECT_EQ(shell.run({"login", "-u", "me", "--password-stdin", "example.com"}), 0);
  EXPECT_EQ(shell.err, "");
}

TEST(Cli, PurgeAsksAndTakesNoForAnAnswer) {
  FakeShell shell = shell_with_models();
  shell.input.is_terminal = true;
  shell.input.text = "what\nn\n";
  EXPECT_EQ(shell.run({"purge"}), 130);
  EXPECT_EQ(shell.state.here.size(), 4u);
  shell.input.text = "Yes\n";
  EXPECT_EQ(shell.run({"purge"}), 0);
  EXPECT_TRUE(shell.state.here.empty());
}

TEST(Cli, LoginReadsThePasswordFromStandardInput) {
  FakeShell shell;
  shell.input.text = "s3cret\n";
  EXPECT_EQ(shell.run({"login", "-u", "me", "--password-stdin", "example.com"}), 0);
  ASSERT_EQ(shell.state.logins.size(), 1u);
  EXPECT_EQ(shell.state.logins[0].password.reveal(), "s3cret");
  EXPECT_EQ(shell.state.logins[0].registry, "example.com");
  EXPECT_EQ(shell.out + shell.err, "Login Succeeded\n");
}

TEST(Cli, LoginByArgumentWarnsAndWithoutAnyoneToAskIsRefused) {
  FakeShell shell;
  EXPECT_EQ(shell.run({"login", "-u", "me", "-p", "s3cret"}), 0);
  EXPECT_NE(shell.err.find("warning: --password"), std::string::npos);
  EXPECT_EQ(shell.state.logins[0].registry, "docker.io");
  EXPECT_EQ(shell.run({"login"}), 2);
  EXPECT_EQ(shell.run({"login", "-u", "me"}), 2);
  EXPECT_EQ(shell.run({"login", "--password-stdin"}), 2);
  EXPECT_EQ(shell.run({"logout"}), 0);
  EXPECT_TRUE(shell.state.logins.empty());
}

TEST(Cli, LoginAsksOnATerminal) {
  FakeShell shell;
  shell.input.is_terminal = true;
  shell.input.text = "me\nhidden\n";
  EXPECT_EQ(shell.run({"login", "example.com"}), 0);
  EXPECT_EQ(shell.state.logins[0].user, "me");
  EXPECT_EQ(shell.state.logins[0].password.reveal(), "hidden");
}

TEST(Cli, PackageHandsOverWhatTheFlagsSay) {
  FakeShell shell;
  EXPECT_EQ(shell.run({"package",   "--gguf",         "rel/m.gguf", "-l",
                       "A",         "--license",      "B",          "--lora",
                       "ad.gguf",   "--context-size", "4096",       "--annotation",
                       "k=v=w",     "--format",       "cncf",       "--link",
                       "--created", "1700000000",     "-q",         "me/x"}),
            0);
  ASSERT_EQ(shell.state.packages.size(), 1u);
  const control::PackageRequest& request = shell.state.packages[0];
  EXPECT_EQ(request.gguf, "rel/m.gguf");
  EXPECT_EQ(request.licenses, (std::vector<std::string>{"A", "B"}));
  EXPECT_EQ(request.loras, std::vector<std::string>{"ad.gguf"});
  EXPECT_EQ(request.context_size, 4096u);
  EXPECT_EQ(request.annotations.at("k"), "v=w");
  EXPECT_EQ(request.format, control::PackageFormat::kModelPack);
  EXPECT_TRUE(request.link);
  EXPECT_EQ(request.created, control::Time(std::chrono::seconds(1700000000)));
  EXPECT_EQ(shell.out, "docker.io/me/x:latest@sha256:" + std::string(64, 'e') + "\n");
  EXPECT_EQ(shell.err, "");
}

TEST(Cli, PackageFromWithOnlyAContextSizeIsARepackage) {
  FakeShell shell;
  EXPECT_EQ(shell.run({"package", "--from", "smollm2", "--context-size", "2048", "me/x"}), 0);
  EXPECT_EQ(shell.out, "docker.io/me/x:latest@sha256:" + std::string(64, 'e') + "\n");
  EXPECT_EQ(shell.state.here.back().context_size, 2048u);
  EXPECT_TRUE(shell.state.packages.empty());
}

TEST(Cli, ExportGoesToAFileOrToAPipeAndNeverToATerminal) {
  FakeShell shell = shell_with_models();
  EXPECT_EQ(shell.run({"export", "smollm2"}), 0);
  EXPECT_EQ(shell.out, "tar of smollm2");
  const std::string path = testing::TempDir() + "berth-export.tar";
  EXPECT_EQ(shell.run({"export", "smollm2", "-o", path}), 0);
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "tar of smollm2");
  shell.terminal = true;
  EXPECT_EQ(shell.run({"export", "smollm2"}), 2);
}

TEST(Cli, ImportReadsAFileAFolderOrStandardInput) {
  FakeShell shell;
  shell.input.text = "piped tar";
  EXPECT_EQ(shell.run({"import", "-"}), 0);
  EXPECT_EQ(shell.state.imported, "piped tar");
  const std::string path = testing::TempDir() + "berth-import.tar";
  std::ofstream(path) << "a tar in a file";
  EXPECT_EQ(shell.run({"import", path}), 0);
  EXPECT_EQ(shell.state.imported, "a tar in a file");
  EXPECT_EQ(shell.run({"import", testing::TempDir()}), 0);
  EXPECT_EQ(shell.out, "docker.io/ai/from-folder:latest\n");
  EXPECT_EQ(shell.run({"import", path + ".absent"}), 3);
}

TEST(Cli, ServeHandsOverItsFlags) {
  FakeShell shell;
  EXPECT_EQ(
      shell.run({"serve", "--listen", "0.0.0.0:12444", "--listen", "unix:/tmp/x", "--tls-cert", "c",
                 "--tls-key", "k", "--require-token", "--allow-host", "models.local", "--gpu",
                 "none", "--no-sandbox", "--behind-proxy", "10.0.0.0/8", "--store", "/s"}),
      0);
  ASSERT_EQ(shell.served.size(), 1u);
  const ServeOptions& served = shell.served[0];
  EXPECT_EQ(served.listen, (std::vector<std::string>{"0.0.0.0:12444", "unix:/tmp/x"}));
  EXPECT_EQ(served.require_token, true);
  EXPECT_EQ(served.record_requests, std::nullopt);
  EXPECT_EQ(served.globals.gpu, "none");
  EXPECT_TRUE(served.globals.no_sandbox);
  EXPECT_EQ(served.globals.store, "/s");
  EXPECT_EQ(shell.run({"serve", "--listen", "nonsense"}), 2);
  EXPECT_EQ(shell.run({"serve", "--tls-cert", "c"}), 2);
}

TEST(Cli, ComposeSpeaksTheProviderProtocol) {
  FakeShell shell;
  shell.state.remote = {fake_model("docker.io/ai/smollm2:latest", 'a')};
  shell.state.status = {.running = true, .endpoint = "http://localhost:12434"};
  EXPECT_EQ(shell.run({"compose", "--project-name", "p", "up", "--model", "ai/smollm2",
                       "--context-size", "2048", "--runtime-flags", "--threads 2"}),
            0);
  EXPECT_EQ(
      shell.out,
      "{\"type\":\"info\",\"message\":\"Initializing model runner...\"}\n"
      "{\"type\":\"info\",\"message\":\"Downloaded 0 B of 91.7 MB (0 %)\"}\n"
      "{\"type\":\"info\",\"message\":\"Pulled docker.io/ai/smollm2:latest\"}\n"
      "{\"type\":\"setenv\",\"message\":\"MODEL=ai/smollm2\"}\n"
      "{\"type\":\"info\",\"message\":\"Successfully configured backend for model ai/smollm2\"}\n"
      "{\"type\":\"setenv\",\"message\":\"URL=http://localhost:12434/engines/v1/\"}\n");
  ASSERT_EQ(shell.state.configurations.size(), 1u);
  EXPECT_EQ(shell.state.configurations[0].runtime_flags,
            (std::vector<std::string>{"--threads", "2"}));
  EXPECT_EQ(shell.run({"compose", "down"}), 0);
  EXPECT_EQ(shell.run({"compose", "metadata"}), 0);
  EXPECT_NE(shell.out.find("\"name\":\"model\",\"description\":\"model to "
                           "use\",\"required\":true,\"type\":\"stringArray\""),
            std::string::npos);
  shell.state.status.running = false;
  EXPECT_EQ(shell.run({"compose", "up", "--model", "x"}), 5);
  EXPECT_NE(shell.out.find("{\"type\":\"error\""), std::string::npos);
}

TEST(Cli, ComposeTakesTheServersTcpPort) {
  FakeShell shell;
  shell.state.here = {fake_model("docker.io/ai/smollm2:latest", 'a')};
  shell.state.status = {.running = true,
                        .endpoint = "/run/berth.sock",
                        .endpoints = {"/run/berth.sock", "http://0.0.0.0:12434"}};
  EXPECT_EQ(shell.run({"compose", "up", "--model", "smollm2"}), 0);
  EXPECT_NE(shell.out.find("URL=http://localhost:12434/engines/v1/"), std::string::npos)
      << shell.out;
  shell.state.status.endpoints = {"/run/berth.sock"};
  EXPECT_EQ(shell.run({"compose", "up", "--model", "smollm2"}), 5);
  EXPECT_NE(shell.out.find("restart-runner --port"), std::string::npos) << shell.out;
}

TEST(Cli, StatusNamesEveryWayToTheServer) {
  FakeShell shell;
  shell.state.status = {.running = true,
                        .endpoint = "/run/berth.sock",
                        .endpoints = {"/run/berth.sock", "http://127.0.0.1:12434"}};
  EXPECT_EQ(shell.run({"status"}), 0);
  EXPECT_TRUE(
      shell.out.starts_with("Berth is running at /run/berth.sock and http://127.0.0.1:12434\n"))
      << shell.out;
  shell.state.status.endpoint = "http://box:12434";
  EXPECT_EQ(shell.run({"status"}), 0);
  EXPECT_TRUE(shell.out.starts_with("Berth is running at http://box:12434\n")) << shell.out;
}

TEST(Cli, ARestartedServerKeepsItsFlagsButForThoseGivenAnew) {
  const std::vector<std::string> before = {"serve",  "--store",         "/s",        "--listen",
                                           "a:1",    "--listen",        "b:2",       "--gpu",
                                           "vulkan", "--require-token", "--insecure"};
  EXPECT_EQ(merge_server_words(before, {"serve"}), before);
  EXPECT_EQ(merge_server_words({}, {"serve", "--gpu", "none"}),
            (std::vector<std::string>{"serve", "--gpu", "none"}));
  EXPECT_EQ(merge_server_words(before, {"serve", "--listen", "c:3", "--require-token=false"}),
            (std::vector<std::string>{"serve", "--store", "/s", "--gpu", "vulkan", "--insecure",
                                      "--listen", "c:3", "--require-token=false"}));
}

TEST(CliPlugin, AnswersDockersQuestionWithoutAStore) {
  FakeShell shell;
  EXPECT_EQ(
      shell.run({"docker-cli-plugin-metadata"}, "/usr/libexec/docker/cli-plugins/docker-model"), 0);
  const auto value = json::parse(shell.out, "metadata");
  ASSERT_TRUE(value);
  EXPECT_EQ(value->at("SchemaVersion").as_string(), "0.1.0");
  EXPECT_EQ(value->at("Vendor").as_string(), "Berth");
  EXPECT_EQ(shell.state.connected, 0);
}

TEST(CliPlugin, TakesDockersFormAndTheBareOne) {
  FakeShell shell = shell_with_models();
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"model", "list", "-q"},
           {"--debug", "model", "list", "-q"},
           {"-H", "tcp://docker:1", "--config", "/d", "model", "ls", "-q"},
           {"list", "-q"}}) {
    EXPECT_EQ(shell.run(words, "docker-model"), 0);
    EXPECT_EQ(shell.out, "bbbbbbbbbbbb\naaaaaaaaaaaa\ndddddddddddd\neeeeeeeeeeee\n");
  }
  // docker's own -H is the docker daemon, not a model server; its --config is the docker folder.
  EXPECT_EQ(shell.globals[2].host, "");
  EXPECT_EQ(shell.globals[2].config, "");
  EXPECT_EQ(shell.globals[2].docker_config, "/d");
}

TEST(CliPlugin, CallsItselfDockerModel) {
  FakeShell shell;
  shell.run({"model", "pul"}, "docker-model");
  EXPECT_EQ(shell.err,
            "berth: unknown command \"pul\" for docker model\ndid you mean: docker model pull\n");
}

}  // namespace
}  // namespace berth::cli
