// Commands of Docker Model Runner that are known and not in this version: said so, with status 69,
// whatever follows.
#include "cli/commands.h"

namespace berth::cli {
namespace {

struct Options {
  std::string_view name;
  std::vector<std::string> words;
};

rt::Task<Result<int>> refuse(Context&, Options& options) {
  co_return fail(Code::kUnsupported, "the command {} is not in this version", options.name);
}

}  // namespace

std::vector<Command> later_commands() {
  std::vector<Command> all;
  for (const std::string_view name :
       {"gateway", "launch", "skills", "context", "search", "bench"}) {
    auto o = std::make_shared<Options>(Options{name, {}});
    all.push_back(
        {.name = name,
         .summary = "Not in this version",
         .group = Group::kHidden,
         .needs = Needs::kNothing,
         .arguments = {{.name = "WORD", .count = Argument::Count::kAny, .target = &o->words}},
         .any_flags = true,
         .run = bound(o, refuse)});
  }
  return all;
}

}  // namespace berth::cli
