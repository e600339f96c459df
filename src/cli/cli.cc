#include "cli/cli.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "base/log.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/exit_status.h"
#include "cli/help.h"

namespace berth::cli {
namespace {

constexpr auto kCloseBound = std::chrono::seconds(15);

std::string basename_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// What docker asks each plugin before it offers it.
std::string plugin_metadata() {
  return json::serialize(
             json::Object{{"SchemaVersion", "0.1.0"},
                          {"Vendor", "Berth"},
                          {"Version", BERTH_VERSION},
                          {"ShortDescription", "Package, push, pull and run AI models (Berth)"}}) +
         "\n";
}

// One command line from its words to its exit status.
class Invocation {
 public:
  Invocation(Environment environment, Output& output, Input& input)
      : environment_(std::move(environment)),
        output_(output),
        input_(input),
        table_(all_commands(globals_)) {}

  int run(std::vector<std::string> args);

 private:
  void read_environment();
  int mistake(const Mistake& mistake);
  int failed(const Error& error, const std::vector<std::string>& hints);
  Status set_style();
  int run_command(const Selection& selection);
  Result<int> in_loop(const Command& command, const std::string& path,
                      std::vector<std::string>& hints);
  int finished(int status);

  Environment environment_;
  Output& output_;
  Input& input_;
  Globals globals_;
  std::vector<Command> table_;  // points into globals_
  Style style_;
  std::string program_ = "berth";
  oci::ReferenceDefaults names_;
};

void Invocation::read_environment() {
  const auto& variable = environment_.variable;
  globals_.host = variable("MODEL_RUNNER_HOST").value_or("");
  globals_.store = variable("BERTH_HOME").value_or("");
  globals_.docker_config = variable("DOCKER_CONFIG").value_or("");
  if (const auto registry = variable("DEFAULT_REGISTRY"); registry && !registry->empty())
    names_.registry = *registry;
}

int Invocation::mistake(const Mistake& mistake) {
  output_.alert("berth: {}", mistake.message);
  if (!mistake.hint.empty()) output_.alert("{}", mistake.hint);
  return finished(kExitUsage);
}

int Invocation::failed(const Error& error, const std::vector<std::string>& hints) {
  // An engine's last lines may be part of the sentence.
  std::string_view prefix = "berth: ";
  for (const std::string& line : split(error.message(), '\n')) {
    output_.alert("{}{}", std::exchange(prefix, ""), printable(line, 8192));
  }
  for (const std::string& hint : hints) output_.alert("{}", printable(hint, 1024));
  return finished(exit_status(error.code()));
}

Status Invocation::set_style() {
  if (globals_.debug) globals_.log_level = "debug";
  constexpr std::array<std::pair<std::string_view, log::Level>, 5> kLevels = {
      {{"debug", log::Level::kDebug},
       {"info", log::Level::kInfo},
       {"warning", log::Level::kWarning},
       {"error", log::Level::kError},
       {"off", log::Level::kOff}}};
  log::Level level = log::Level::kWarning;
  for (const auto& [name, value] : kLevels) {
    if (globals_.log_level == name) level = value;
  }
  log::configure(level, globals_.log_format == "json" ? log::Format::kJson : log::Format::kHuman);
  const bool asked = style_.colour == "yes" || style_.colour == "always";
  const bool refused = style_.colour == "no" || style_.colour == "never" || style_.no_colour ||
                       !environment_.variable("NO_COLOR").value_or("").empty();
  output_.colour = asked || (!refused && output_.err.terminal());
  return {};
}

int Invocation::run(std::vector<std::string> args) {
  const std::string self = args.empty() ? "berth" : basename_of(args[0]);
  std::vector<std::string> words(args.begin() + (args.empty() ? 0 : 1), args.end());
  read_environment();
  if (self == "docker-model") {
    program_ = "docker model";
    if (!words.empty() && words[0] == "docker-cli-plugin-metadata") {
      output_.print("{}", plugin_metadata());
      return finished(kExitOk);
    }
    words = strip_docker(words, globals_);
    // The registry client and credential helpers (processes of their own) look there; no thread
    // runs yet.
    if (!globals_.docker_config.empty())
      ::setenv("DOCKER_CONFIG", globals_.docker_config.c_str(), 1);
  }
  // The shells' question: its words are not for this program's own flags.
  if (!words.empty() && (words[0] == "__complete" || words[0] == "__completeNoDesc")) {
    if (words.size() == 1 || words[1] != "--") words.insert(words.begin() + 1, "--");
    if (words.size() > 2 && self == "docker-model" && words[2] == "model")
      words.erase(words.begin() + 2);
  }
  const std::vector<Flag> flags = global_flags(globals_, style_);
  auto selection = select_command(table_, flags, words, program_);
  if (!selection) return mistake(selection.error());
  if (const auto filled = fill(*selection, flags, program_); !filled)
    return mistake(filled.error());
  if (const Status styled = set_style(); !styled) return failed(styled.error(), {});
  return run_command(*selection);
}

int Invocation::run_command(const Selection& selection) {
  if (style_.version) {
    output_.print("berth version {}\n", BERTH_VERSION);
    return finished(kExitOk);
  }
  if (selection.command == nullptr) {
    output_.print("{}", root_help(table_, global_flags(globals_, style_), program_));
    return finished(kExitOk);
  }
  if (style_.help || !selection.command->run) {
    output_.print("{}", command_help(*selection.command, selection.path, program_));
    return finished(kExitOk);
  }
  std::vector<std::string> hints;
  const Result<int> result = in_loop(*selection.command, selection.path, hints);
  return result ? finished(*result) : failed(result.error(), hints);
}

// Ctrl-C asks the command to end; a second one ends the process, even when the loop is stuck.
void on_signal(int number, rt::Op& op, Interrupts& interrupts) {
  const bool leave = number != SIGINT || !interrupts.taken();
  if (leave) {
    op.cancel();
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);
  }
  if (interrupts.taken()) interrupts.signal();
}

Result<int> Invocation::in_loop(const Command& command, const std::string& path,
                                std::vector<std::string>& hints) {
  rt::Loop loop;
  rt::Op op(path);
  Interrupts interrupts([] {});
  Context context{.loop = loop,
                  .op = op,
                  .output = output_,
                  .input = input_,
                  .interrupts = interrupts,
                  .environment = environment_,
                  .globals = globals_,
                  .names = names_,
                  .program = program_,
                  .now = environment_.now(),
                  .table = table_};
  // A command that needs no loop is quick, or (serve) handles signals itself.
  if (command.needs == Needs::kNothing) {
    auto done = loop.run(command.run(context));
    hints = std::move(context.hints);
    return done;
  }
  loop.handle_signals([&](int number) { on_signal(number, op, interrupts); });
  std::unique_ptr<Backend> backend;
  if (command.needs == Needs::kServices) {
    TRY(backend, environment_.connect(loop, globals_));
    context.services = &backend->services();
  }
  Result<int> result = loop.run(command.run(context));
  hints = std::move(context.hints);
  if (backend) {
    rt::Op closing(op.name());
    rt::Op bounded(closing, std::chrono::steady_clock::now() + kCloseBound);
    const Status closed = loop.run(backend->close(bounded));
    if (result && !closed) return std::unexpected(closed.error());
  }
  return result;
}

int Invocation::finished(int status) {
  output_.out.flush();
  output_.err.flush();
  const Status written = output_.out.status();
  // A reader that leaves early (`| head`) has what it wants.
  if (written || written.error().code() == Code::kCancelled || status != kExitOk) return status;
  output_.alert("berth: {}", written.error().message());
  return exit_status(written.error().code());
}

std::optional<std::string> process_variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return value;
}

std::chrono::sys_seconds system_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

}  // namespace

int main(std::span<char* const> args, Environment environment) {
  return main(std::vector<std::string>(args.begin(), args.end()), std::move(environment));
}

int main(const std::vector<std::string>& args, Environment environment) {
  if (!environment.variable) environment.variable = process_variable;
  if (!environment.now) environment.now = system_now;
  FdWriter out(1);
  FdWriter err(2);
  Output own{out, err};
  std::unique_ptr<Input> standard;
  if (environment.input == nullptr) {
    standard = standard_input();
    environment.input = standard.get();
  }
  Output& output = environment.output != nullptr ? *environment.output : own;
  Input& input = *environment.input;
  return Invocation(std::move(environment), output, input).run(args);
}

std::vector<Flag> global_flags(Globals& globals, Style& style) {
  return {
      {.name = "host",
       .value = "URL",
       .help = "Server to use instead of this machine (MODEL_RUNNER_HOST)",
       .target = &globals.host},
      {.name = "store",
       .value = "DIR",
       .help = "Folder of everything of Berth (BERTH_HOME)",
       .target = &globals.store,
       .completes = Completes::kDirectory},
      {.name = "config",
       .value = "FILE",
       .help = "Settings file instead of the user's config.toml",
       .target = &globals.config,
       .completes = Completes::kFile},
      {.name = "log-level",
       .value = "LEVEL",
       .help = "What is logged on standard error",
       .target = &globals.log_level,
       .choices = {"debug", "info", "warning", "error", "off"}},
      {.name = "log-format",
       .value = "FORMAT",
       .help = "How it is logged",
       .target = &globals.log_format,
       .choices = {"human", "json"}},
      {.name = "debug",
       .letter = 'D',
       .help = "The same as --log-level debug",
       .target = &globals.debug},
      {.name = "color",
       .value = "WHEN",
       .help = "Colour",
       .target = &style.colour,
       .choices = {"auto", "yes", "no", "always", "never"}},
      {.name = "no-color", .help = "No colour (also: NO_COLOR is set)", .target = &style.no_colour},
      {.name = "help", .letter = 'h', .help = "Show help", .target = &style.help},
      {.name = "version", .letter = 'v', .help = "Show the version", .target = &style.version},
  };
}

}  // namespace berth::cli
