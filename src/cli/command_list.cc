#include <algorithm>

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
  std::string openai_url;
  Format format;
  bool openai = false;
  bool quiet = false;
};

using SortKey = std::tuple<std::string, std::string, std::string>;
struct Row {
  std::string name;
  const control::Model* model;
  SortKey key;
};

// Base name, then variant, whatever the case; a name without a variant comes first.
Row row_of(std::string name, const control::Model& model) {
  const std::size_t colon = name.rfind(':');
  const bool variant = colon != std::string::npos && name.find('/', colon) == std::string::npos;
  SortKey key{to_lower(name.substr(0, variant ? colon : std::string::npos)),
              variant ? to_lower(name.substr(colon + 1)) : "", model.id};
  return {std::move(name), &model, std::move(key)};
}

std::vector<Row> rows_of(const std::vector<control::Model>& models,
                         const oci::ReferenceDefaults& names) {
  std::vector<Row> rows;
  for (const control::Model& model : models) {
    if (model.tags.empty()) rows.push_back(row_of("<none>", model));
    for (const std::string& tag : model.tags)
      rows.push_back(row_of(familiar_name(tag, names), model));
  }
  std::ranges::sort(rows, {}, &Row::key);
  return rows;
}

std::string table_of(const std::vector<control::Model>& models, const Context& context) {
  Table table({"MODEL NAME", "PARAMETERS", "QUANTIZATION", "ARCHITECTURE", "MODEL ID", "CREATED",
               "CONTEXT", "SIZE"});
  for (const Row& row : rows_of(models, context.names)) {
    const control::Model& model = *row.model;
    table.row({row.name, model.parameters, model.quantization, model.architecture,
               short_id(model.id), format_ago(model.created, context.now),
               model.context_size ? fmt::to_string(*model.context_size) : "",
               format_size(model.size) + (model.partial ? " (partial)" : "")});
  }
  return table.text();
}

// Keeps the tags that the filter names; all of them when it names the id.
void keep_matching(std::vector<control::Model>& models, const std::string& filter,
                   const oci::ReferenceDefaults& names) {
  for (control::Model& model : models) {
    if (id_matches(model.id, filter)) continue;
    std::erase_if(model.tags, [&](const std::string& tag) { return !matches(tag, filter, names); });
    if (model.tags.empty()) model.id.clear();
  }
  std::erase_if(models, [](const control::Model& model) { return model.id.empty(); });
}

json::Value openai_list(const std::vector<control::Model>& models) {
  return json::Object{{"object", "list"},
                      {"data", json_array(models, [](const control::Model& model) {
                         return control::openai_model(
                             model, model.tags.empty() ? model.id : model.tags[0]);
                       })}};
}

rt::Task<Result<int>> run(Context& context, Options& options) {
  if (!options.openai_url.empty()) {
    co_return fail(Code::kUnsupported,
                   "listing another OpenAI server (--openaiurl) is not in this version");
  }
  if (options.openai && options.quiet)
    co_return fail(Code::kInvalid, "--quiet cannot be used with --openai");
  CO_TRY(std::vector<control::Model> models, co_await context.services->models.list(context.op));
  if (!options.model.empty()) keep_matching(models, options.model, context.names);
  if (options.openai) {
    print_json(context.output, openai_list(models));
  } else if (options.format.is_json()) {
    print_json(context.output, json_array(models, [](const control::Model& model) {
                 return control::to_json(model);
               }));
  } else if (options.quiet) {
    for (const control::Model& model : models)
      context.output.print("{}\n", printable(short_id(model.id)));
  } else {
    context.output.out.write(table_of(models, context));
  }
  co_return 0;
}

}  // namespace

Command list_command() {
  auto o = std::make_shared<Options>();
  return {
      .name = "list",
      .aliases = {"ls"},
      .summary = "List the models that are here",
      .details =
          "One row for each tag. MODEL keeps the tags of a repository (smollm2), one tag "
          "(smollm2:latest) or an id.",
      .examples = "berth list\nberth list smollm2\nberth list --json",
      .arguments = {{.name = "MODEL",
                     .count = Argument::Count::kOptional,
                     .target = &o->model,
                     .completes = Completes::kModel}},
      .flags = with_format(
          o->format,
          {{.name = "quiet", .letter = 'q', .help = "Only show model IDs", .target = &o->quiet},
           {.name = "openai", .help = "Show the list as the OpenAI API does", .target = &o->openai},
           {.name = "openaiurl",
            .value = "URL",
            .help = "Not in this version",
            .target = &o->openai_url,
            .hidden = true}}),
      .run = bound(o, run)};
}

}  // namespace berth::cli
