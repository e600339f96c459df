#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"

namespace berth::cli {
namespace {

struct Options {
  std::string source;
  std::string target;
};

rt::Task<Result<int>> run(Context& context, Options& options) {
  auto tagged = co_await context.services->models.tag(context.op, options.source, options.target);
  CO_TRY(const std::string full, hinted(context, std::move(tagged), options.source));
  context.output.print("Model \"{}\" tagged successfully with \"{}\"\n", printable(options.source),
                       printable(options.target));
  co_return 0;
}

}  // namespace

Command tag_command() {
  auto o = std::make_shared<Options>();
  return {.name = "tag",
          .summary = "Give a model another name",
          .examples = "berth tag smollm2 registry.example.com/team/smollm2:1",
          .arguments = {{.name = "SOURCE", .target = &o->source, .completes = Completes::kModel},
                        {.name = "TARGET", .target = &o->target, .completes = Completes::kModel}},
          .run = bound(o, run)};
}

}  // namespace berth::cli
