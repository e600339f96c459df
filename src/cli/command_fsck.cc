// fsck: is the store what it says it is, and mending it.
#include <algorithm>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/format.h"
#include "cli/progress.h"
#include "control/json.h"

namespace berth::cli {
namespace {

struct Options {
  Format format;
  std::string progress = "auto";
  bool repair = false;
  bool read_data = false;
};

std::string_view verdict(const control::CheckFinding& finding) {
  if (finding.repaired) return "repaired";
  return finding.harmless ? "left over" : "wrong";
}

void print_findings(Output& output, const control::CheckResult& result) {
  for (const control::CheckFinding& one : result.findings) {
    output.print("{}: {}: {}\n", verdict(one), printable(one.what), printable(one.message, 4096));
  }
}

std::string rate(const control::CheckResult& result) {
  const double seconds = static_cast<double>(result.took.count()) / 1000;
  if (result.read == 0 || seconds <= 0) return "";
  return fmt::format(
      ", {} read ({}/s)", format_size(result.read),
      format_size(static_cast<std::uint64_t>(static_cast<double>(result.read) / seconds)));
}

std::string count(std::size_t number, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", number, number == 1 ? one : many);
}

void print_summary(Context& context, const Options& options, const control::CheckResult& result,
                   std::size_t wrong) {
  const auto harmless = [](const control::CheckFinding& one) {
    return one.harmless && !one.repaired;
  };
  const auto left = static_cast<std::size_t>(std::ranges::count_if(result.findings, harmless));
  context.output.note(
      "{}, {}{}: {}{}", count(result.blobs, "blob", "blobs"), format_size(result.bytes),
      rate(result),
      wrong == 0 ? "nothing is wrong" : count(wrong, "thing is wrong", "things are wrong"),
      left == 0 ? "" : fmt::format(", {} left over", left));
  if (!options.read_data)
    context.output.note("only manifests were read; every byte is with: {} fsck --read-data",
                        context.program);
  if (wrong > 0 && !options.repair)
    context.output.note("mend it with: {} fsck --repair{}", context.program,
                        options.read_data ? " --read-data" : "");
  if (wrong > 0 && options.repair)
    context.output.note(
        "what no registry has must be packaged or pulled again, or removed with: {} rm",
        context.program);
}

rt::Task<Result<int>> run(Context& context, Options& options) {
  Progress progress(context, options.repair ? "Checked and fetched" : "Read",
                    progress_mode(options.progress, context.output));
  auto checked = co_await context.services->machine.check_store(
      context.op, {.repair = options.repair, .read_data = options.read_data}, progress);
  co_await progress.finish();
  CO_TRY(const control::CheckResult result, std::move(checked));
  const auto is_wrong = [](const control::CheckFinding& one) {
    return !one.harmless && !one.repaired;
  };
  const auto wrong = static_cast<std::size_t>(std::ranges::count_if(result.findings, is_wrong));
  if (options.format.is_json()) {
    print_json(context.output, control::to_json(result));
  } else {
    print_findings(context.output, result);
    print_summary(context, options, result, wrong);
  }
  co_return wrong == 0 ? kExitOk : exit_status(Code::kCorrupt);
}

}  // namespace

Command fsck_command() {
  auto o = std::make_shared<Options>();
  return {
      .name = "fsck",
      .summary = "Check the store: records, files and, with --read-data, every byte",
      .details =
          "Compares the catalogue with the files, each manifest with its digest, the names with "
          "what they stand for. With --read-data the bytes of every blob are read from the disk "
          "and compared with its digest. One line for each finding: what is wrong costs a model, "
          "what is left over costs only space (prune).\n"
          "With --repair records are mended, and a blob that is missing or damaged is taken out "
          "of view and fetched again from the registry that a name of its model says; what no "
          "registry has stays lost and is told.\n"
          "Ends with 0 when nothing is wrong or all of it was repaired, else with 6. Other "
          "commands may run meanwhile.",
      .examples = "berth fsck\nberth fsck --read-data\nberth fsck --repair --read-data",
      .flags = with_format(
          o->format,
          {{.name = "repair", .help = "Mend what is wrong", .target = &o->repair},
           {.name = "read-data", .help = "Read and check every byte", .target = &o->read_data},
           progress_flag(o->progress)}),
      .run = bound(o, run)};
}

}  // namespace berth::cli
