// What Berth says of itself: version, settings, help, completion, man pages.
#include <sys/utsname.h>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/help.h"
#include "cli/names.h"
#include "cli/table.h"
#include "control/json.h"
#include "fs/file.h"
#include "rt/async.h"

namespace berth::cli {
namespace {

constexpr auto kAnswerBound = std::chrono::seconds(2);

struct Version {
  Format format;
  bool server = false;
};
struct Settings {
  Format format;
};
struct Help {
  std::vector<std::string> words;
};
struct Completion {
  std::string shell;
};
struct Complete {
  std::vector<std::string> words;
};
struct Man {
  std::string dir;
};

// Go's names, as Docker Model Runner prints them.
std::string architecture() {
  utsname name{};
  ::uname(&name);
  const std::string machine = name.machine;
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return machine;
}

struct ServerAnswer {
  std::string version;
  std::string failure;
};

// Nothing when no server was named and none listens. Whoever is slow to answer is not waited for.
rt::Task<std::optional<ServerAnswer>> ask_server(Context& context) {
  if (!context.environment.server) co_return std::nullopt;
  const auto server = context.environment.server(context.loop, context.globals);
  if (!server) co_return ServerAnswer{"", server.error().message()};
  if (!*server) co_return std::nullopt;
  rt::Op soon(context.op, std::chrono::steady_clock::now() + kAnswerBound);
  auto version = co_await (*server)->services().system.server_version(soon);
  [[maybe_unused]] const Status closed = co_await (*server)->close(context.op);
  if (!version) co_return ServerAnswer{"", version.error().message()};
  co_return ServerAnswer{*version, ""};
}

rt::Task<Result<int>> version(Context& context, Version& options) {
  const std::string platform = "linux/" + architecture();
  std::optional<ServerAnswer> answer = co_await ask_server(context);
  CO_TRY_OK(context.op.check());
  if (!answer && options.server)
    answer = ServerAnswer{"", "no daemon runs here; start one with: berth serve"};
  const bool ask = answer.has_value();
  const ServerAnswer server = answer.value_or(ServerAnswer());
  if (options.format.is_json()) {
    json::Object object{{"client", {{"version", BERTH_VERSION}, {"platform", platform}}}};
    object["server"] = ask && server.failure.empty() ? json::Value{{"version", server.version}}
                                                     : json::Value(nullptr);
    print_json(context.output, object);
    co_return 0;
  }
  context.output.print("Client:\n Version:    {}\n OS/Arch:    {}\n", BERTH_VERSION, platform);
  if (ask)
    context.output.print("\nServer:\n Version:    {}\n",
                         server.failure.empty() ? printable(server.version) : "(not reachable)");
  if (!server.failure.empty()) context.output.note("{}", printable(server.failure, 2048));
  co_return 0;
}

rt::Task<Result<int>> settings(Context& context, Settings& options) {
  const auto all = context.services->machine.settings();
  if (options.format.is_json()) {
    print_json(context.output,
               json_array(all, [](const control::Setting& one) { return control::to_json(one); }));
    co_return 0;
  }
  Table table({"SETTING", "VALUE", "SOURCE"});
  for (const control::Setting& one : all) table.row({one.key, one.value, one.source});
  context.output.out.write(table.text());
  co_return 0;
}

const Command* descend(const std::vector<Command>& table, const std::vector<std::string>& words,
                       std::string& path) {
  const std::vector<Command>* level = &table;
  const Command* found = nullptr;
  for (const std::string& word : words) {
    found = nullptr;
    for (const Command& command : *level) {
      if (command.name == word || std::ranges::find(command.aliases, word) != command.aliases.end())
        found = &command;
    }
    if (found == nullptr) return nullptr;
    path += (path.empty() ? "" : " ") + std::string(found->name);
    level = &found->children;
  }
  return found;
}

rt::Task<Result<int>> help(Context& context, Help& options) {
  Globals globals;
  Style style;
  if (options.words.empty()) {
    context.output.print("{}",
                         root_help(context.table, global_flags(globals, style), context.program));
    co_return 0;
  }
  std::string path;
  const Command* command = descend(context.table, options.words, path);
  if (command == nullptr) {
    co_return fail(Code::kInvalid, "there is no command \"{}\"",
                   printable(fmt::format("{}", fmt::join(options.words, " ")), 128));
  }
  context.output.print("{}", command_help(*command, path, context.program));
  co_return 0;
}

rt::Task<Result<int>> completion(Context& context, Completion& options) {
  const std::string script = completion_script(options.shell, "berth");
  if (script.empty())
    co_return fail(Code::kInvalid, "there is completion for bash, zsh and fish, not for \"{}\"",
                   printable(options.shell));
  context.output.print("{}", script);
  co_return 0;
}

// Names and nothing else; a store that cannot be opened completes nothing.
rt::Task<Status> print_models(Context& context, std::string typed) {
  if (!context.environment.connect) co_return Status();
  CO_TRY(const auto backend, context.environment.connect(context.loop, context.globals));
  const auto models = co_await backend->services().models.list(context.op);
  for (const control::Model& model : models ? *models : std::vector<control::Model>{}) {
    for (const std::string& tag : model.tags) {
      const std::string name = familiar_name(tag, context.names);
      if (name.starts_with(typed))
        context.output.print("{}\t{}\n", printable(name), printable(model.parameters));
      if (!name.starts_with(typed) && tag.starts_with(typed))
        context.output.print("{}\t{}\n", printable(tag), printable(model.parameters));
    }
  }
  co_return co_await backend->close(context.op);
}

rt::Task<Result<int>> complete(Context& context, Complete& options) {
  Globals globals;
  Style style;
  const Candidates found = candidates(context.table, global_flags(globals, style), options.words);
  for (const auto& [word, about] : found.words) context.output.print("{}\t{}\n", word, about);
  if (found.also == Completes::kModel) {
    [[maybe_unused]] const Status printed =
        co_await print_models(context, options.words.empty() ? "" : options.words.back());
  }
  const int directive = found.also == Completes::kFile        ? 0
                        : found.also == Completes::kDirectory ? 16
                                                              : 4;
  context.output.print(":{}\n", directive);
  co_return 0;
}

Status write_pages(const std::string& folder, const std::vector<ManPage>& pages) {
  TRY(const fs::Dir dir, fs::Dir::create(folder, 0755));
  for (const ManPage& page : pages) TRY_OK(dir.replace(page.file, page.text, 0644));
  return {};
}

rt::Task<Result<int>> man(Context& context, Man& options) {
  Globals globals;
  Style style;
  const std::vector<ManPage> pages = man_pages(context.table, global_flags(globals, style));
  CO_TRY_OK(co_await rt::blocking(context.loop, [&] { return write_pages(options.dir, pages); }));
  context.output.note("Wrote {} pages to {}", pages.size(), printable(options.dir));
  co_return 0;
}

}  // namespace

Command version_command() {
  auto o = std::make_shared<Version>();
  return {.name = "version",
          .summary = "Show the version",
          .details =
              "The server's version is shown as well when one answers; --server says why when none "
              "does.",
          .examples = "berth version\nberth version --server",
          .group = Group::kMachine,
          .needs = Needs::kNothing,
          .flags = with_format(
              o->format,
              {{.name = "server", .help = "Say so when no server answers", .target = &o->server}}),
          .run = bound(o, version)};
}

Command settings_command() {
  auto o = std::make_shared<Settings>();
  return {.name = "settings",
          .summary = "Show the settings in force and where each comes from",
          .examples = "berth settings",
          .group = Group::kMachine,
          .flags = with_format(o->format),
          .run = bound(o, settings)};
}

Command help_command() {
  auto o = std::make_shared<Help>();
  return {.name = "help",
          .summary = "Show help",
          .examples = "berth help package",
          .group = Group::kMachine,
          .needs = Needs::kNothing,
          .arguments = {{.name = "COMMAND", .count = Argument::Count::kAny, .target = &o->words}},
          .run = bound(o, help)};
}

Command completion_command() {
  auto o = std::make_shared<Completion>();
  return {.name = "completion",
          .summary = "Print the completion script of a shell",
          .examples =
              "berth completion bash > ~/.local/share/bash-completion/completions/berth\n"
              "berth completion zsh > ~/.zsh/completions/_berth\n"
              "berth completion fish > ~/.config/fish/completions/berth.fish",
          .group = Group::kMachine,
          .needs = Needs::kNothing,
          .arguments = {{.name = "SHELL", .target = &o->shell}},
          .run = bound(o, completion)};
}

Command complete_command() {
  auto o = std::make_shared<Complete>();
  return {.name = "__complete",
          .aliases = {"__completeNoDesc"},
          .summary = "What the completion scripts ask",
          .group = Group::kHidden,
          .needs = Needs::kNothing,
          .rest = &o->words,
          .run = bound(o, complete)};
}

Command man_command() {
  auto o = std::make_shared<Man>();
  return {.name = "man",
          .summary = "Write the man pages into a folder",
          .examples = "berth man /usr/local/share/man/man1",
          .group = Group::kMachine,
          .needs = Needs::kNothing,
          .arguments = {{.name = "DIR", .target = &o->dir, .completes = Completes::kDirectory}},
          .run = bound(o, man)};
}

}  // namespace berth::cli
