#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/names.h"
#include "cli/progress.h"
#include "cli/transfer.h"

namespace berth::cli {
namespace {

struct Options {
  std::string model;
  std::string progress = "auto";
  std::string limit_rate;
  bool quiet = false;
};

rt::Task<Result<int>> run(Context& context, Options& options) {
  context.output.quiet = options.quiet;
  CO_TRY(const std::uint64_t rate, limit_rate_of(options.limit_rate));
  control::PushRequest request{.model = options.model,
                               .bearer_token = hugging_face_token(context, options.model),
                               .limit_rate = rate};
  Progress progress(context, "Uploaded", progress_mode(options.progress, context.output));
  auto pushed = co_await context.services->transfers.push(context.op, std::move(request), progress);
  co_await progress.finish();
  if (!pushed && pushed.error().code() == Code::kDenied) {
    context.hints.push_back(fmt::format("log in as someone who may push, with: {} login {}",
                                        context.program,
                                        registry_of(options.model, context.names)));
  }
  CO_TRY(const control::PushResult result,
         hinted(context, std::move(pushed), options.model, WhenAbsent::kList));
  context.output.note("Model pushed successfully: {} of {} transferred",
                      format_size(result.transferred), format_size(result.size));
  context.output.print("{}\n", printable(pinned(result.reference, result.digest), 2048));
  co_return 0;
}

}  // namespace

Command push_command() {
  auto o = std::make_shared<Options>();
  return {.name = "push",
          .summary = "Upload a model to a registry",
          .details =
              "Uploads what the registry does not have yet. Standard output gets the full "
              "reference with the digest.",
          .examples =
              "berth tag smollm2 registry.example.com/team/smollm2:1\nberth push "
              "registry.example.com/team/smollm2:1",
          .arguments = {{.name = "MODEL", .target = &o->model, .completes = Completes::kModel}},
          .flags = {{.name = "quiet",
                     .letter = 'q',
                     .help = "Print only the reference with its digest",
                     .target = &o->quiet},
                    progress_flag(o->progress),
                    limit_rate_flag(o->limit_rate)},
          .run = bound(o, run)};
}

}  // namespace berth::cli
