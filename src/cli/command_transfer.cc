// transfer (copy): from registry to registry.
#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/names.h"
#include "cli/progress.h"
#include "control/json.h"

namespace berth::cli {
namespace {

struct Options {
  std::string source;
  std::string target;
  std::string platform;
  std::string progress = "auto";
  Format format;
  bool referrers = false;
  bool quiet = false;
};

rt::Task<Result<int>> run(Context& context, Options& options) {
  context.output.quiet = options.quiet;
  Progress progress(context, "Transferred", progress_mode(options.progress, context.output));
  auto done = co_await context.services->transfers.transfer(context.op,
                                                            {.source = options.source,
                                                             .target = options.target,
                                                             .platform = options.platform,
                                                             .referrers = options.referrers},
                                                            progress);
  co_await progress.finish();
  if (!done && done.error().code() == Code::kDenied) {
    context.hints.push_back(fmt::format("log in as someone who may push, with: {} login {}",
                                        context.program,
                                        registry_of(options.target, context.names)));
  }
  CO_TRY(const control::TransferResult result,
         hinted(context, std::move(done), options.source, WhenAbsent::kNothing));
  if (options.format.is_json()) {
    print_json(context.output, control::to_json(result));
    co_return 0;
  }
  context.output.note("Transferred {}, {} taken over within the registry{}; {} checked each digest",
                      format_size(result.transferred), format_size(result.mounted),
                      options.referrers ? fmt::format(", {} referrers", result.referrers) : "",
                      printable(registry_of(options.target, context.names)));
  context.output.print("{}\n", printable(pinned(result.target, result.digest), 2048));
  co_return 0;
}

}  // namespace

Command transfer_command() {
  auto o = std::make_shared<Options>();
  return {
      .name = "transfer",
      .aliases = {"copy"},
      .summary = "Copy an artifact from one registry to another, without a copy here",
      .details =
          "Any OCI artifact, by tag or digest; an index goes whole unless --platform picks one of "
          "its manifests. What the target has already is not sent; within one registry blobs are "
          "taken over without their bytes travelling. Run again, it goes on with the blobs that "
          "are missing.\n"
          "The bytes pass through and are kept nowhere, so it is the target's registry that "
          "checks each blob against its digest; manifests are checked here, too. The name is set "
          "last.\n"
          "Standard output gets the target's full reference with the digest.",
      .examples =
          "berth transfer ai/smollm2 registry.example.com/team/smollm2:1\n"
          "berth transfer --referrers registry.example.com/team/m:1 mirror.example.com/team/m:1",
      .arguments = {{.name = "SOURCE", .target = &o->source},
                    {.name = "TARGET", .target = &o->target}},
      .flags = with_format(o->format,
                           {{.name = "referrers",
                             .help = "Also signatures, attestations and whatever else refers to it",
                             .target = &o->referrers},
                            {.name = "platform",
                             .value = "OS/ARCH",
                             .help = "Only this manifest of an index",
                             .target = &o->platform},
                            {.name = "quiet",
                             .letter = 'q',
                             .help = "Print only the target's reference with its digest",
                             .target = &o->quiet},
                            progress_flag(o->progress)}),
      .run = bound(o, run)};
}

}  // namespace berth::cli
