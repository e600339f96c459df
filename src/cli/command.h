// What a command is: one record per command, from which parsing, help, completion and man pages are
// made.
//
// Records are made anew for each run; their flags point into options that the record's `run` owns.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cli/cli.h"
#include "cli/input.h"
#include "cli/output.h"
#include "oci/reference.h"

namespace berth::cli {

// Who is told about Ctrl-C. The default cancels the command; a chat asks for it while it runs.
class Interrupts {
 public:
  using Handler = std::function<void()>;
  explicit Interrupts(Handler otherwise) : otherwise_(std::move(otherwise)) {}
  // Until cleared, Ctrl-C calls `handler` and does not end the command.
  void take(Handler handler) { handler_ = std::move(handler); }
  void clear() { handler_ = nullptr; }
  bool taken() const { return static_cast<bool>(handler_); }
  void signal() { handler_ ? handler_() : otherwise_(); }

 private:
  Handler otherwise_;
  Handler handler_;
};

struct Command;

// What a command runs with. References outlive it.
struct Context {
  rt::Loop& loop;
  rt::Op& op;
  Output& output;
  Input& input;
  Interrupts& interrupts;
  const Environment& environment;
  const Globals& globals;
  const oci::ReferenceDefaults& names;
  control::Services* services = nullptr;  // set when the record needs them
  std::string program;                    // "berth" or "docker model", for hints
  std::chrono::sys_seconds now;
  const std::vector<Command>& table;
  std::vector<std::string> hints;  // lines after the error message

  std::string variable(const char* name) const { return environment.variable(name).value_or(""); }
};

// Where a flag's value goes; the type says how it is read.
using Target = std::variant<bool*, std::optional<bool>*, std::string*, std::vector<std::string>*,
                            std::optional<std::int64_t>*, std::optional<std::uint64_t>*,
                            std::optional<double>*, std::optional<std::chrono::milliseconds>*>;

enum class Completes { kNothing, kModel, kFile, kDirectory };

struct Flag {
  std::string_view name;  // without dashes
  char letter = 0;
  std::string_view value;  // what it takes: "FILE"; "" = a switch
  std::string_view help;
  Target target;
  std::vector<std::string_view> choices = {};  // the only values allowed
  Completes completes = Completes::kNothing;
  bool hidden = false;
};

struct Argument {
  enum class Count { kOne, kOptional, kAny, kSome };  // 1, 0..1, 0.., 1..
  std::string_view name;                              // "MODEL"
  Count count = Count::kOne;
  Target target;  // std::string* or std::vector<std::string>*
  Completes completes = Completes::kNothing;
};

enum class Group { kModels, kRunning, kServer, kMachine, kHidden };
enum class Needs { kNothing, kLoop, kServices };

struct Command {
  std::string_view name;
  std::vector<std::string_view> aliases = {};
  std::string_view summary;
  std::string_view details = {};   // paragraphs
  std::string_view examples = {};  // one command a line
  Group group = Group::kModels;
  Needs needs = Needs::kServices;
  std::vector<Argument> arguments = {};
  std::vector<Flag> flags = {};
  bool any_flags = false;  // flags that are not declared are arguments
  // Words after `--` go here; without it they join the arguments.
  std::vector<std::string>* rest = nullptr;
  std::function<rt::Task<Result<int>>(Context&)> run = {};
  std::vector<Command> children = {};
};

// Binds options to a command: keeps them alive and hands them to a coroutine.
template <class Options>
std::function<rt::Task<Result<int>>(Context&)> bound(std::shared_ptr<Options> options,
                                                     rt::Task<Result<int>> (*run)(Context&,
                                                                                  Options&)) {
  return [options = std::move(options), run](Context& context) { return run(context, *options); };
}

// Every command, in the order of the help. Some flags point into `globals`, since they are needed
// before the command runs.
std::vector<Command> all_commands(Globals& globals);

// The flags that every command takes. `flags` point into `globals` and `style`.
struct Style {
  std::string colour = "auto";
  bool no_colour = false;
  bool help = false;
  bool version = false;
};
std::vector<Flag> global_flags(Globals& globals, Style& style);

}  // namespace berth::cli
