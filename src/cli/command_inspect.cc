// inspect (for programs) and show (for people): the same record in two forms.
#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/names.h"
#include "cli/table.h"
#include "control/json.h"

namespace berth::cli {
namespace {

struct Options {
  std::string model;
  Format format;
  bool remote = false;
  bool openai = false;
  bool manifest = false;
};

void add_field(std::string& text, std::string_view label, const std::string& value) {
  if (!value.empty()) text += fmt::format("{:<14}{}\n", label, printable(value, 2048));
}

// The engine's own metadata, sorted. Values may be whole templates: cut.
void add_metadata(std::string& text, std::string_view title, const json::Object& config,
                  std::string_view key) {
  const json::Value* found = config.if_contains(key);
  if (found == nullptr || !found->is_object() || found->as_object().empty()) return;
  std::map<std::string, std::string> sorted;
  for (const auto& [name, value] : found->as_object()) {
    const bool string = value.is_string();
    sorted[std::string(name)] = string ? std::string(value.as_string()) : json::serialize(value);
  }
  text += fmt::format("\n{}:\n", title);
  for (const auto& [name, value] : sorted)
    text += fmt::format("  {}: {}\n", printable(name), printable(value, 160));
}

// Which files are here is said only of a model that is partial.
std::string files_text(const control::ModelDetail& detail) {
  std::vector<std::string> header{"FILE", "ROLE", "SIZE", "DIGEST"};
  if (detail.model.partial) header.emplace_back("HERE");
  Table table(std::move(header));
  for (const control::ModelFile& file : detail.files) {
    std::vector<std::string> row{file.path.empty() ? "-" : file.path, file.role,
                                 format_size(file.size), short_id(file.digest)};
    if (detail.model.partial) row.emplace_back(file.left_out ? "no" : "yes");
    table.row(std::move(row));
  }
  return table.text();
}

std::string people_text(const control::ModelDetail& detail) {
  const control::Model& model = detail.model;
  std::string text;
  add_field(text, "Model:", model.id);
  add_field(text, "Tags:", fmt::format("{}", fmt::join(model.tags, ", ")));
  if (model.created.time_since_epoch().count() > 0)
    add_field(text, "Created:", format_rfc3339(model.created));
  text += "\n";
  add_field(text, "Format:", model.format);
  add_field(text, "Architecture:", model.architecture);
  add_field(text, "Parameters:", model.parameters);
  add_field(text, "Size:", format_size(model.size));
  add_field(text, "Quantization:", model.quantization);
  if (model.context_size) add_field(text, "Context Size:", fmt::to_string(*model.context_size));
  add_field(text, "Artifact:", detail.artifact);
  add_field(text, "Index:", detail.index_digest);
  if (model.partial) add_field(text, "Partial:", "some files were left out when it was pulled");
  if (!detail.files.empty()) text += "\n" + files_text(detail);
  if (!detail.annotations.empty()) text += "\nAnnotations:\n";
  for (const auto& [key, value] : detail.annotations)
    text += fmt::format("  {}: {}\n", printable(key), printable(value));
  add_metadata(text, "GGUF Metadata", model.config, "gguf");
  add_metadata(text, "Safetensors Metadata", model.config, "safetensors");
  return text;
}

json::Object program_form(const control::ModelDetail& detail) {
  json::Object object = control::to_json(detail);
  object.erase("raw_manifest");  // bytes: --manifest
  return object;
}

rt::Task<Result<int>> look(Context& context, Options& options, bool json_default) {
  if (options.openai && options.remote)
    co_return fail(Code::kInvalid, "--remote cannot be used with --openai");
  auto found = co_await context.services->models.inspect(context.op, options.model, options.remote);
  CO_TRY(const control::ModelDetail detail, hinted(context, std::move(found), options.model));
  if (options.manifest) {
    if (detail.raw_manifest.empty()) {
      co_return fail(Code::kUnsupported,
                     "that server does not give out manifests; only a Berth server does");
    }
    TerminalFilter filter;
    context.output.out.write(context.output.out.terminal() ? filter(detail.raw_manifest)
                                                           : detail.raw_manifest);
  } else if (options.openai) {
    const control::Model& model = detail.model;
    print_json(context.output,
               control::openai_model(model, model.tags.empty() ? model.id : model.tags[0]));
  } else if (options.format.is_json(json_default)) {
    print_json(context.output, program_form(detail));
  } else {
    context.output.out.write(people_text(detail));
  }
  co_return 0;
}

rt::Task<Result<int>> inspect(Context& context, Options& options) {
  return look(context, options, true);
}
rt::Task<Result<int>> show(Context& context, Options& options) {
  return look(context, options, false);
}

}  // namespace

Command inspect_command() {
  auto o = std::make_shared<Options>();
  return {.name = "inspect",
          .summary = "Show everything about a model as JSON",
          .details =
              "Layers, digests, annotations and files, as Docker Model Runner's object with "
              "Berth's fields added.",
          .examples =
              "berth inspect smollm2\nberth inspect --remote ai/smollm2\nberth inspect --manifest "
              "smollm2 | sha256sum",
          .arguments = {{.name = "MODEL", .target = &o->model, .completes = Completes::kModel}},
          .flags = with_format(
              o->format,
              {{.name = "remote",
                .letter = 'r',
                .help = "Look at the registry without pulling",
                .target = &o->remote},
               {.name = "openai", .help = "Show it as the OpenAI API does", .target = &o->openai},
               {.name = "manifest", .help = "Print the manifest's bytes", .target = &o->manifest}}),
          .run = bound(o, inspect)};
}

Command show_command() {
  auto o = std::make_shared<Options>();
  return {.name = "show",
          .summary = "Show a model for people",
          .examples = "berth show smollm2",
          .arguments = {{.name = "MODEL", .target = &o->model, .completes = Completes::kModel}},
          .flags = with_format(o->format, {{.name = "remote",
                                            .letter = 'r',
                                            .help = "Look at the registry without pulling",
                                            .target = &o->remote}}),
          .run = bound(o, show)};
}

}  // namespace berth::cli
