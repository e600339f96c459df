// `berth registry ls|show|history|search|gc|du|prune|verify|events` against a fake registry.
#include <gtest/gtest.h>

#include "cli/cli.h"
#include "cli/fake_shell.h"
#include "cli/golden.h"

namespace berth::cli {
namespace {

std::string digest(char hex) { return "sha256:" + std::string(64, hex); }

FakeShell shell_with_registry() {
  FakeShell shell;
  const auto pushed = kFakeNow - std::chrono::hours(5);
  shell.state.registry_models = {{.repository = "ai/smollm2",
                                  .digest = digest('a'),
                                  .tags = {"latest", "v1"},
                                  .pushed = pushed,
                                  .name = "SmolLM2",
                                  .format = "gguf",
                                  .architecture = "llama",
                                  .quantization = "Q4_1",
                                  .license = "apache-2.0",
                                  .parameters = 134'520'000,
                                  .context_length = 8192,
                                  .size = 91'739'808},
                                 {.repository = "team/bad",
                                  .digest = digest('b'),
                                  .pushed = pushed,
                                  .architecture = "evil\x1b[2J",
                                  .size = 17,
                                  .findings = {"model.gguf is no sound gguf file: \x1b[31mred"}}};
  shell.state.registry_tags = {{"latest", digest('a'), pushed}, {"v1", digest('a'), pushed}};
  shell.state.registry_moves = {{"latest", digest('c'), digest('a'), pushed, "alice"},
                                {"v1", "", digest('a'), pushed, "bob"}};
  shell.state.registry_usage = {{"ai/smollm2", {}, 183'000'000, 91'000'000},
                                {"team/bad", {}, 17, 0}};
  shell.state.registry_pruned = {
      {"ci/llama", "pr-7", digest('a'), "not among the 20 newest, older than 30 days"},
      {"ci/llama", "", digest('b'), "belonged to what went"}};
  shell.state.registry_verified = {
      .blobs = 7,
      .bytes = 183'000'000,
      .checked = 7,
      .checked_bytes = 183'000'000,
      .damaged = 3,
      .damages = {{digest('a'), 91739808, "damaged", {{"ai/smollm2", {"latest", "v1"}}, {"x", {}}}},
                  {digest('b'), 17, "unreadable\x1b[2J", {}}}};
  shell.state.registry_events = {
      .endpoints = {{"audit", 3, 1}, {"deploy", 0, 0}},
      .dead_letters = {{"audit", "push", "team/llama", "v1\x1b[2J", digest('a'), pushed, 50,
                        "audit.example answered HTTP 503"}}};
  return shell;
}

TEST(CliRegistryView, Sessions) {
  FakeShell shell = shell_with_registry();
  std::string text;
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"registry", "ls"},
                                             {"registry", "ls", "ai/smollm2"},
                                             {"registry", "ls", "--json", "ai/smollm2"},
                                             {"registry", "show", "ai/smollm2"},
                                             {"registry", "show", "ai/smollm2:v1", "--json"},
                                             {"registry", "show", "ai/smollm2:absent"},
                                             {"registry", "show", "team/bad@bbbbbbbbbbbb"},
                                             {"registry", "history", "ai/smollm2"},
                                             {"registry", "history", "ai/smollm2:v1"},
                                             {"registry", "search", "smol"},
                                             {"registry", "search", "--min-parameters", "many"},
                                             {"registry", "gc", "--dry-run"},
                                             {"registry", "gc"},
                                             {"registry", "du"},
                                             {"registry", "prune", "--dry-run"},
                                             {"registry", "prune", "--rule", "** keep=1"},
                                             {"registry", "prune", "--json"},
                                             {"registry", "verify", "ai/smollm2"},
                                             {"registry", "verify"},
                                             {"registry", "verify", "--json"},
                                             {"registry", "events"},
                                             {"registry", "events", "deploy"},
                                             {"registry", "events", "--json"},
                                             {"registry", "events", "--retry", "audit"},
                                             {"registry", "events"}}) {
    const int status = shell.run(words);
    text += fmt::format("$ berth {}\n{}", fmt::join(words, " "), shell.out);
    if (!shell.err.empty()) text += "--- standard error\n" + shell.err;
    if (status != 0) text += fmt::format("--- status {}\n", status);
    text += "\n";
  }
  expect_golden("src/cli/testdata/registry.txt", text);
}

TEST(CliRegistryView, ASearchSaysWhatItWasTold) {
  FakeShell shell = shell_with_registry();
  EXPECT_EQ(shell.run({"registry", "search", "tiny", "chat", "--registry", "models.corp",
                       "--architecture", "llama", "--max-parameters", "1.5B", "--min-size", "4GB"}),
            0)
      << shell.err;
  EXPECT_EQ(shell.state.registry_asked, "models.corp");
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"q", "tiny chat"},
      {"architecture", "llama"},
      {"max_parameters", "1500000000"},
      {"min_size", "4000000000"}};
  EXPECT_EQ(shell.state.registry_query.conditions, expected);
}

}  // namespace
}  // namespace berth::cli
