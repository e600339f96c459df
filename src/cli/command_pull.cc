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
  std::string platform;
  std::string progress = "auto";
  std::string limit_rate;
  std::vector<std::string> include;
  bool quiet = false;
};

rt::Task<Result<int>> run(Context& context, Options& options) {
  context.output.quiet = options.quiet;
  CO_TRY(const std::uint64_t rate, limit_rate_of(options.limit_rate));
  control::PullRequest request{.model = options.model,
                               .bearer_token = hugging_face_token(context, options.model),
                               .platform = options.platform,
                               .limit_rate = rate,
                               .include = options.include};
  CO_TRY(const control::PullResult result,
         co_await pull_model(context, std::move(request), options.progress));
  context.output.print("{}\n", printable(pinned(result.reference, result.digest), 2048));
  co_return 0;
}

}  // namespace

rt::Task<Result<control::PullResult>> pull_model(Context& context, control::PullRequest request,
                                                 std::string progress_word) {
  const std::string model = request.model;
  const ProgressMode mode = progress_mode(progress_word, context.output);
  Progress progress(context, "Downloaded", mode);
  auto pulled = co_await context.services->transfers.pull(context.op, std::move(request), progress);
  co_await progress.finish();
  CO_TRY(control::PullResult result,
         hinted(context, std::move(pulled), model, WhenAbsent::kNothing));
  if (result.cached) {
    context.output.note("Using cached model: {}", format_size(result.size));
  } else {
    context.output.note("Model pulled successfully: {} of {} transferred",
                        format_size(result.transferred), format_size(result.size));
  }
  if (result.left_out > 0) {
    context.output.note(
        "The model is partial: {} of its files {} not here; get {} with: {} pull {}",
        result.left_out, result.left_out == 1 ? "is" : "are", result.left_out == 1 ? "it" : "them",
        context.program, printable(model, 200));
  }
  co_return result;
}

std::string hugging_face_token(const Context& context, const std::string& model) {
  const bool hub = model.starts_with("hf.co/") || model.starts_with("huggingface.co/");
  return hub ? context.variable("HF_TOKEN") : "";
}

Flag limit_rate_flag(std::string& target) {
  return {.name = "limit-rate",
          .value = "RATE",
          .help = "Bytes a second at most, as in 10M",
          .target = &target};
}

Result<std::uint64_t> limit_rate_of(const std::string& text) {
  if (text.empty()) return 0;
  const auto rate = parse_size(text);
  if (rate && *rate != 0) return *rate;
  return fail(Code::kInvalid, "--limit-rate takes bytes a second, as in 10M, not \"{}\"",
              printable(text, 60));
}

Command pull_command() {
  auto o = std::make_shared<Options>();
  return {
      .name = "pull",
      .summary = "Download a model from a registry",
      .details =
          "Downloads a model, verifies every byte and stores it. What is here already is not "
          "fetched again.\n"
          "Standard output gets the full reference with the digest. REF@sha256:... takes that "
          "digest and nothing else.\n"
          "With --include only the files that a pattern matches are fetched: * is any text but "
          "a slash, ** any text, **/ any folders, ? one character, [a-z] one of a set. A "
          "pattern without a slash is also tried on a file's name without its folders. A later "
          "pull fetches what it asks for and is missing.",
      .examples =
          "berth pull ai/smollm2\nberth pull ai/smollm2:135M-Q4_K_M\nberth pull --quiet "
          "registry.example.com/team/model:1.2\nberth pull --include '*.json' --include 'onnx/**' "
          "registry.example.com/team/model",
      .arguments = {{.name = "MODEL", .target = &o->model, .completes = Completes::kModel}},
      .flags = {{.name = "quiet",
                 .letter = 'q',
                 .help = "Print only the reference with its digest",
                 .target = &o->quiet},
                {.name = "platform",
                 .value = "OS/ARCH",
                 .help = "Which model of an index to take",
                 .target = &o->platform},
                {.name = "include",
                 .value = "PATTERN",
                 .help = "Only the files that match, as in '*.json' (may be repeated)",
                 .target = &o->include},
                progress_flag(o->progress),
                limit_rate_flag(o->limit_rate)},
      .run = bound(o, run)};
}

}  // namespace berth::cli
