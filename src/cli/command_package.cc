#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/names.h"
#include "cli/progress.h"

namespace berth::cli {
namespace {

struct Options {
  std::string model;
  std::string gguf;
  std::string safetensors_dir;
  std::string dduf;
  std::string from;
  std::string mmproj;
  std::vector<std::string> loras;
  std::string chat_template;
  std::vector<std::string> licenses;
  std::optional<std::uint64_t> context_size;
  std::vector<std::string> annotations;
  std::string format = "docker";
  std::string created;
  std::string progress = "auto";
  bool push = false;
  bool link = false;
  bool quiet = false;
};

Result<std::map<std::string, std::string>> annotations_of(const std::vector<std::string>& words) {
  std::map<std::string, std::string> map;
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail(Code::kInvalid, "--annotation takes KEY=VALUE, not \"{}\"", printable(word));
    }
    map[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return map;
}

// RFC 3339, or seconds since 1970 as SOURCE_DATE_EPOCH has them.
Result<std::optional<control::Time>> created_of(const std::string& text) {
  if (text.empty()) return std::nullopt;
  if (const auto time = parse_rfc3339(text)) return *time;
  const auto seconds = parse_u64(text);
  if (!seconds || *seconds > 253402300799U) {
    return fail(
        Code::kInvalid,
        "--created takes a time such as 2026-01-31T12:00:00Z or seconds since 1970, not \"{}\"",
        printable(text));
  }
  return control::Time(std::chrono::seconds(*seconds));
}

Status check_source(const Options& options) {
  if (!options.dduf.empty())
    return fail(Code::kUnsupported, "packaging DDUF archives (--dduf) is not in this version");
  const int sources = int{!options.gguf.empty()} + int{!options.safetensors_dir.empty()} +
                      int{!options.from.empty()};
  if (sources == 1) return {};
  return fail(Code::kInvalid,
              "{} --gguf, --safetensors-dir and --from must be given, to say what to package",
              sources == 0 ? "one of" : "only one of");
}

Result<control::PackageRequest> request_of(const Options& options) {
  TRY_OK(check_source(options));
  control::PackageRequest request{.target = options.model,
                                  .gguf = options.gguf,
                                  .safetensors_dir = options.safetensors_dir,
                                  .from = options.from,
                                  .mmproj = options.mmproj,
                                  .loras = options.loras,
                                  .chat_template = options.chat_template,
                                  .licenses = options.licenses,
                                  .context_size = options.context_size,
                                  .push = options.push,
                                  .link = options.link};
  TRY(request.annotations, annotations_of(options.annotations));
  TRY(request.created, created_of(options.created));
  if (options.format != "docker") request.format = control::PackageFormat::kModelPack;
  return request;
}

// Nothing but another context size: the same layers, which a server can do by itself.
bool only_context(const Options& o) {
  return !o.from.empty() && o.context_size && o.mmproj.empty() && o.loras.empty() &&
         o.chat_template.empty() && o.licenses.empty() && o.annotations.empty() &&
         o.created.empty() && o.format == "docker" && !o.push && !o.link;
}

rt::Task<Result<int>> repackage(Context& context, Options& options) {
  auto done = co_await context.services->transfers.repackage(context.op, options.from,
                                                             options.model, *options.context_size);
  CO_TRY(const std::string full, hinted(context, std::move(done), options.from));
  CO_TRY(const control::ModelDetail made,
         co_await context.services->models.inspect(context.op, full, false));
  context.output.note("Model packaged successfully: {}", format_size(made.model.size));
  context.output.print("{}\n", printable(pinned(full, made.model.id), 2048));
  co_return 0;
}

rt::Task<Result<int>> run(Context& context, Options& options) {
  context.output.quiet = options.quiet;
  CO_TRY(control::PackageRequest request, request_of(options));
  if (only_context(options)) co_return co_await repackage(context, options);
  Progress progress(context, "Packaged", progress_mode(options.progress, context.output));
  auto packaged =
      co_await context.services->transfers.package(context.op, std::move(request), progress);
  co_await progress.finish();
  // Absent is the source, when it is a model; unauthenticated is where it goes to.
  if (!packaged && (packaged.error().code() != Code::kNotFound || !options.from.empty())) {
    const bool absent = packaged.error().code() == Code::kNotFound;
    co_return std::unexpected(
        with_hints(context, std::move(packaged.error()), absent ? options.from : options.model));
  }
  CO_TRY(const control::PackageResult result, std::move(packaged));
  for (const auto& [file, way] : result.ways)
    context.output.note("{}: {}", printable(file), printable(way));
  context.output.note("Model packaged successfully: {}", format_size(result.size));
  context.output.print("{}\n", printable(pinned(result.reference, result.digest), 2048));
  co_return 0;
}

constexpr std::string_view kDetails =
    "What to package is one of --gguf, --safetensors-dir and --from. The first shard of a sharded "
    "GGUF finds the others.\n"
    "The weights are read once: shared with the file where the file system can (reflink), copied "
    "while hashing elsewhere,\n"
    "or hard-linked with --link. The same bytes give the same digest on any machine. --push goes "
    "straight from the files\n"
    "into the registry and keeps nothing here.";
constexpr std::string_view kExamples =
    "berth package --gguf ./model.gguf --license LICENSE myorg/model:1\n"
    "berth package --gguf big-00001-of-00004.gguf --context-size 8192 --push "
    "registry.example.com/team/big:1\n"
    "berth package --from smollm2 --lora adapter.gguf myorg/smollm2-tuned\n"
    "berth package --safetensors-dir ./model --format modelpack myorg/model:st";

std::vector<Flag> flags_of(Options& o) {
  return {
      {.name = "gguf",
       .value = "FILE",
       .help = "GGUF file, or the first shard",
       .target = &o.gguf,
       .completes = Completes::kFile},
      {.name = "safetensors-dir",
       .value = "DIR",
       .help = "Folder with safetensors and their configuration",
       .target = &o.safetensors_dir,
       .completes = Completes::kDirectory},
      {.name = "from",
       .value = "MODEL",
       .help = "A model, here or in a registry",
       .target = &o.from,
       .completes = Completes::kModel},
      {.name = "dduf",
       .value = "FILE",
       .help = "Not in this version",
       .target = &o.dduf,
       .hidden = true},
      {.name = "mmproj",
       .value = "FILE",
       .help = "Multimodal projector",
       .target = &o.mmproj,
       .completes = Completes::kFile},
      {.name = "lora",
       .value = "FILE",
       .help = "LoRA adapter (may be repeated)",
       .target = &o.loras,
       .completes = Completes::kFile},
      {.name = "chat-template",
       .value = "FILE",
       .help = "Jinja chat template",
       .target = &o.chat_template,
       .completes = Completes::kFile},
      {.name = "license",
       .letter = 'l',
       .value = "FILE",
       .help = "License file (may be repeated)",
       .target = &o.licenses,
       .completes = Completes::kFile},
      {.name = "context-size",
       .value = "TOKENS",
       .help = "Context size that the model is run with",
       .target = &o.context_size},
      {.name = "annotation",
       .value = "KEY=VALUE",
       .help = "Annotation of the manifest (may be repeated)",
       .target = &o.annotations},
      {.name = "format",
       .value = "FORMAT",
       .help = "Kind of artifact",
       .target = &o.format,
       .choices = {"docker", "modelpack", "cncf"}},
      {.name = "push", .help = "Straight into the registry", .target = &o.push},
      {.name = "link", .help = "Hard-link the weights instead of copying them", .target = &o.link},
      {.name = "created",
       .value = "TIME",
       .help = "Creation time to write (default: SOURCE_DATE_EPOCH, else 1970)",
       .target = &o.created},
      {.name = "quiet",
       .letter = 'q',
       .help = "Print only the reference with its digest",
       .target = &o.quiet},
      progress_flag(o.progress),
  };
}

}  // namespace

Command package_command() {
  auto o = std::make_shared<Options>();
  return {.name = "package",
          .summary = "Make an OCI artifact from model files",
          .details = kDetails,
          .examples = kExamples,
          .arguments = {{.name = "MODEL", .target = &o->model, .completes = Completes::kModel}},
          .flags = flags_of(*o),
          .run = bound(o, run)};
}

}  // namespace berth::cli
