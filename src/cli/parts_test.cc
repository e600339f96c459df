// The pure parts: suggestions, tables, progress, exit statuses, completion, man pages, the
// terminal's filter.
#include <cstdio>
#include <fstream>
#include <gtest/gtest.h>
#include <set>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/background.h"
#include "cli/exit_status.h"
#include "cli/fake_shell.h"
#include "cli/golden.h"
#include "cli/help.h"
#include "cli/line_editor.h"
#include "cli/names.h"
#include "cli/progress.h"
#include "cli/suggest.h"
#include "cli/table.h"

namespace berth::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Suggest, Distances) {
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("pull", "pull"), 0u);
  EXPECT_EQ(edit_distance("pul", "pull"), 1u);
  EXPECT_EQ(edit_distance("pushh", "push"), 1u);
  EXPECT_EQ(edit_distance("lsit", "list"), 1u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
}

TEST(Suggest, NearestOrNothing) {
  const std::vector<std::string> known{"pull", "push", "package", "configure", "status"};
  EXPECT_EQ(nearest("pul", known), "pull");
  EXPECT_EQ(nearest("pusj", known), "push");
  EXPECT_EQ(nearest("config", known), "configure");
  EXPECT_EQ(nearest("pakcage", known), "package");
  EXPECT_EQ(nearest("frobnicate", known), "");
  EXPECT_EQ(nearest("", known), "");
  EXPECT_EQ(nearest(std::string(10000, 'x'), known), "");
}

TEST(Table, AlignsByCharactersAndEndsLinesCleanly) {
  Table table({"NAME", "SIZE"});
  table.row({"größe", "1"});
  table.row({"x", ""});
  table.row({"evil\x1b[2J\n", "2"});
  EXPECT_EQ(table.text(), "NAME             SIZE\ngröße            1\nx\nevil\\x1b[2J\\x0a  2\n");
}

TEST(ExitStatus, EveryCodeHasOneAndThePageSaysWhatItMeans) {
  const std::string page = exit_status_page();
  for (int i = 0; i < kCodeCount; ++i) {
    const Code code = static_cast<Code>(i);
    const int status = exit_status(code);
    EXPECT_GT(status, 1) << to_string(code);
    EXPECT_NE(page.find(fmt::format("`{}`", to_string(code))), std::string::npos)
        << to_string(code);
    EXPECT_NE(page.find(fmt::format("\n| {} | ", status)), std::string::npos) << to_string(code);
  }
  expect_golden("docs/exit-status.md", page);
}

TEST(Filter, KeepsTextAndEscapesControl) {
  TerminalFilter filter;
  EXPECT_EQ(filter("a\tb\nc\r\x1b[0m\x7f"), "a\tb\nc\\x0d\\x1b[0m\\x7f");
  EXPECT_EQ(filter("\xc2\x85"), "\\x85");
  EXPECT_EQ(filter("\xff\xc2"), "\\xff");
  EXPECT_EQ(filter.finish(), "\\xc2");
}

TEST(Filter, PutsSplitCharactersTogether) {
  TerminalFilter filter;
  std::string out;
  for (const char c : std::string("\xe2\x82\xac\xf0\x9f\x9a\xa2")) out += filter(std::string(1, c));
  EXPECT_EQ(out + filter.finish(), "\xe2\x82\xac\xf0\x9f\x9a\xa2");
  // A sequence that breaks off is shown byte by byte and swallows nothing.
  EXPECT_EQ(filter("\xe2\x82z"), "\\xe2\\x82z");
}

TEST(Names, FilterMatchesWhatListShows) {
  const oci::ReferenceDefaults defaults;
  EXPECT_TRUE(matches("docker.io/ai/smollm2:latest", "smollm2", defaults));
  EXPECT_TRUE(matches("docker.io/ai/smollm2:Q4", "ai/smollm2", defaults));
  EXPECT_TRUE(matches("docker.io/ai/smollm2:Q4", "smollm2:Q4", defaults));
  EXPECT_FALSE(matches("docker.io/ai/smollm2:Q4", "smollm2:latest", defaults));
  EXPECT_TRUE(matches("localhost:5000/ai/x:1", "localhost:5000/ai/x", defaults));
  EXPECT_FALSE(matches("localhost:5000/ai/x:1", "x", defaults));
  EXPECT_TRUE(id_matches("sha256:" + std::string(64, 'a'), std::string(12, 'a')));
  EXPECT_FALSE(id_matches("sha256:" + std::string(64, 'a'), "aaa"));
  EXPECT_FALSE(id_matches("", std::string(12, 'a')));
  EXPECT_EQ(short_id("short"), "short");
}

control::Event layer(char hex, std::uint64_t current, std::uint64_t size) {
  return {.kind = control::Event::Kind::kLayer,
          .layer = "sha256:" + std::string(64, hex),
          .current = current,
          .size = size};
}

TEST(Progress, RateAndRemainingTimeComeFromTheLastSeconds) {
  TransferState state;
  const rt::SteadyTime start{};
  state.on({.kind = control::Event::Kind::kTotal, .size = 100'000'000}, start);
  // Resumed: the first 20 MB were there before and are no speed.
  for (int i = 0; i <= 20; ++i) {
    state.on(layer('a', 20'000'000 + static_cast<std::uint64_t>(i) * 1'000'000, 100'000'000),
             start + milliseconds(i * 100));
  }
  const auto now = start + seconds(2);
  ASSERT_TRUE(state.rate(now));
  EXPECT_NEAR(*state.rate(now), 10e6, 1e5);
  EXPECT_EQ(state.eta(now), seconds(7));
  EXPECT_EQ(render_line(state, now, "Downloaded"),
            "Downloaded 40.0 MB of 100 MB (40 %, 10.0 MB/s, 7.0 s left)");
  // Nothing comes any more: the rate sinks, the end moves away.
  EXPECT_LT(*state.rate(now + seconds(6)), 4e6);
}

TEST(Progress, BarsFitTheTerminal) {
  TransferState state;
  const rt::SteadyTime start{};
  state.on(layer('a', 0, 1000), start);
  state.on(layer('b', 500, 1000), start + seconds(1));
  state.on({.kind = control::Event::Kind::kLayerExists, .layer = "sha256:" + std::string(64, 'c')},
           start);
  for (const unsigned width : {20U, 60U, 200U}) {
    for (const std::string& line : render_bars(state, start + seconds(1), width))
      EXPECT_LT(columns(line), width) << line;
  }
  const auto lines = render_bars(state, start + seconds(1), 80);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[1], "bbbbbbbbbbbb  [=============>            ] 500 B / 1.00 kB");
  EXPECT_EQ(lines[2], "cccccccccccc  already there");
  EXPECT_EQ(lines[3].substr(0, 7), "Total  ");
}

TEST(Progress, ManyLayersDoNotScrollTheTerminal) {
  TransferState state;
  for (int i = 0; i < 500; ++i) {
    state.on({.kind = control::Event::Kind::kLayer,
              .layer = fmt::format("sha256:{:064x}", i),
              .current = 1,
              .size = 2},
             {});
  }
  EXPECT_LE(render_bars(state, {}, 80).size(), 17u);
}

TEST(Progress, HostileEventsAreBounded) {
  TransferState state;
  for (int i = 0; i < 5000; ++i)
    state.on({.kind = control::Event::Kind::kLayer,
              .layer = fmt::format("{}", i),
              .current = 9,
              .size = 1},
             {});
  EXPECT_LE(state.layers().size(), 4096u);
  EXPECT_LE(state.current(), state.total());
  state.on({.kind = control::Event::Kind::kLayer,
            .layer = "x",
            .name = "\x1b[2J",
            .current = 1,
            .size = 0},
           {});
  for (const std::string& line : render_bars(state, {}, 80))
    EXPECT_EQ(line.find('\x1b'), std::string::npos);
}

TEST(Progress, PlainLinesComeAtABoundedRate) {
  FakeShell shell;
  shell.state.remote = {fake_model("docker.io/ai/smollm2:latest", 'a')};
  EXPECT_EQ(shell.run({"pull", "x"}), 0);
  EXPECT_EQ(shell.err,
            "Downloaded 0 B of 91.7 MB (0 %)\nmodel.gguf: done\nModel pulled successfully: 91.7 MB "
            "of 91.7 MB transferred\n");
}

TEST(Progress, BarsOnATerminalOnly) {
  FakeShell shell;
  shell.terminal = true;
  shell.state.remote = {fake_model("docker.io/ai/smollm2:latest", 'a')};
  EXPECT_EQ(shell.run({"pull", "x"}), 0);
  EXPECT_NE(shell.err.find("\x1b["), std::string::npos);
  EXPECT_NE(shell.err.find("model.gguf  done"), std::string::npos) << shell.err;
  EXPECT_EQ(shell.run({"pull", "x", "--quiet"}), 0);
  EXPECT_EQ(shell.err, "");
}

std::string completed(const std::vector<std::string>& words) {
  Globals globals;
  Style style;
  const auto table = all_commands(globals);
  std::string text;
  for (const auto& [word, about] : candidates(table, global_flags(globals, style), words).words)
    text += word + " ";
  return text;
}

TEST(Completion, OffersWhatFits) {
  EXPECT_EQ(completed({"pu"}), "pull push purge ");
  EXPECT_EQ(completed({"token", ""}), "create list revoke ");
  EXPECT_EQ(completed({"list", "--form"}), "--format ");
  EXPECT_EQ(completed({"list", "--format", ""}), "table json ");
  EXPECT_EQ(completed({"--store", "x", "pus"}), "push ");
  EXPECT_EQ(completed({"gatew"}), "");
  EXPECT_EQ(completed({}).substr(0, 10), "pull push ");
}

TEST(Completion, ModelsOfTheStore) {
  FakeShell shell;
  shell.state.here = {fake_model("docker.io/ai/smollm2:latest", 'a')};
  EXPECT_EQ(shell.run({"__complete", "--", "show", "smo"}), 0);
  EXPECT_EQ(shell.out, "smollm2\t134.52M\n:4\n");
  EXPECT_EQ(shell.run({"__complete", "model", "rm", "smo"}, "docker-model"), 0);
  EXPECT_EQ(shell.out, "smollm2\t134.52M\n:4\n");
  EXPECT_EQ(shell.run({"__complete", "--", "package", "--gguf", ""}), 0);
  EXPECT_EQ(shell.out, ":0\n");
}

TEST(Completion, ScriptsAreWhatTheirShellsCanRead) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = completion_script(shell, "berth");
    ASSERT_FALSE(script.empty());
    EXPECT_EQ(script.find("PROGRAM"), std::string::npos);
    EXPECT_EQ(script.find("FUNCTION"), std::string::npos);
    const std::string path = testing::TempDir() + "berth-completion";
    std::ofstream(path) << script;
    // A shell that is not installed cannot be asked.
    const int status = std::system(
        fmt::format("command -v {0} >/dev/null || exit 0; {0} -n {1}", shell, path).c_str());
    EXPECT_EQ(status, 0) << shell;
  }
  EXPECT_EQ(completion_script("tcsh", "berth"), "");
}

TEST(ManPages, OneForEachCommand) {
  Globals globals;
  Style style;
  const auto table = all_commands(globals);
  std::set<std::string> names;
  for (const ManPage& page : man_pages(table, global_flags(globals, style))) {
    EXPECT_TRUE(names.insert(page.file).second) << page.file;
    EXPECT_TRUE(page.text.starts_with(".TH \"berth")) << page.file;
    EXPECT_NE(page.text.find("\n.SH NAME\n"), std::string::npos);
  }
  for (const char* name :
       {"berth.1", "berth-pull.1", "berth-configure-show.1", "berth-token-create.1"})
    EXPECT_TRUE(names.contains(name)) << name;
  EXPECT_FALSE(names.contains("berth-gateway.1"));
}

// Every record is whole: a name nobody else has, a sentence, flags that do not clash.
void check_record(const Command& command, const std::string& path) {
  EXPECT_FALSE(command.summary.empty()) << path;
  EXPECT_FALSE(command.summary.ends_with('.')) << path;
  EXPECT_TRUE(command.run || !command.children.empty()) << path;
  if (command.group != Group::kHidden && command.run)
    EXPECT_FALSE(command.examples.empty()) << path;
  std::set<std::string_view> names;
  std::set<char> letters;
  for (const Flag& flag : command.flags) {
    EXPECT_TRUE(names.insert(flag.name).second) << path << " --" << flag.name;
    if (flag.letter != 0)
      EXPECT_TRUE(letters.insert(flag.letter).second) << path << " -" << flag.letter;
    EXPECT_FALSE(flag.help.empty()) << path << " --" << flag.name;
  }
  for (const Command& child : command.children)
    check_record(child, path + " " + std::string(child.name));
}

TEST(Records, AreWhole) {
  Globals globals;
  std::set<std::string_view> names;
  for (const Command& command : all_commands(globals)) {
    EXPECT_TRUE(names.insert(command.name).second) << command.name;
    for (const std::string_view alias : command.aliases)
      EXPECT_TRUE(names.insert(alias).second) << alias;
    check_record(command, std::string(command.name));
  }
  for (const char* name : {"pull",
                           "push",
                           "tag",
                           "list",
                           "ls",
                           "inspect",
                           "show",
                           "rm",
                           "purge",
                           "run",
                           "package",
                           "status",
                           "ps",
                           "df",
                           "logs",
                           "unload",
                           "stop",
                           "configure",
                           "config",
                           "version",
                           "requests",
                           "compose",
                           "login",
                           "logout",
                           "serve",
                           "install-runner",
                           "start-runner",
                           "stop-runner",
                           "restart-runner",
                           "reinstall-runner",
                           "uninstall-runner",
                           "token",
                           "settings",
                           "import",
                           "export",
                           "prune",
                           "gateway",
                           "launch",
                           "skills",
                           "context",
                           "search",
                           "bench"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
}

TEST(LineEditor, ReadsUtf8AndBoundsNonsense) {
  const auto read = [](const std::string& bytes) {
    std::size_t at = 0;
    return read_character(
        [&]() -> int { return at < bytes.size() ? static_cast<unsigned char>(bytes[at++]) : -1; });
  };
  EXPECT_EQ(read("a"), 'a');
  EXPECT_EQ(read("\xe2\x82\xac"), 0x20ac);
  EXPECT_EQ(read("\xf0\x9f\x9a\xa2"), 0x1f6a2);
  EXPECT_EQ(read("\x80"), 0xfffd);
  EXPECT_EQ(read("\xff"), 0xfffd);
  EXPECT_EQ(read("\xe2x"), 0xfffd);
  EXPECT_EQ(read("\xe2"), -1);
  EXPECT_EQ(read(""), -1);
}

TEST(LineEditor, HistoryEntriesAreLines) {
  for (const std::string& entry : {"plain", "two\nlines", "back\\slash \\n", ""}) {
    const std::string line = escape_entry(entry);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_EQ(unescape_entry(line), entry);
  }
}

TEST(Background, AnotherProcessIsNeverTakenForTheServer) {
  const std::string folder = testing::TempDir() + "berth-background";
  EXPECT_EQ(*find_background(folder + "/absent"), std::nullopt);
  [[maybe_unused]] const int made = std::system(fmt::format("mkdir -p {}", folder).c_str());
  // This test itself runs under that number, but is no "serve"; 1 is init; the rest is nonsense.
  for (const std::string& text : {std::to_string(::getpid()), std::string("1"), std::string("-5"),
                                  std::string("x"), std::string("99999999999")}) {
    std::ofstream(folder + "/serve.pid") << text << "\n";
    const auto found = find_background(folder);
    ASSERT_TRUE(found);
    EXPECT_EQ(*found, std::nullopt) << text;
  }
  EXPECT_TRUE(stop_background(::getpid()));
}

}  // namespace
}  // namespace berth::cli
