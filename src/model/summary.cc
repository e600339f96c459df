#include "model/summary.h"

namespace berth::model {
namespace {

// Raised when a field changes its meaning: an older text is then read as damaged and made anew.
constexpr std::int64_t kVersion = 1;

Result<Kind> kind_from(std::uint64_t number) {
  if (number <= static_cast<std::uint64_t>(Kind::kModelPack)) return static_cast<Kind>(number);
  return fail(Code::kCorrupt, "unknown kind of model {}", number);
}

std::optional<std::uint64_t> positive(std::uint64_t number) {
  return number == 0 ? std::nullopt : std::optional(number);
}

Result<Summary> read(const json::View& view) {
  TRY(const std::uint64_t version, view.u64("v"));
  if (version != kVersion) return fail(Code::kCorrupt, "a summary of version {}", version);
  Summary summary;
  TRY(const std::uint64_t kind, view.u64("kind"));
  TRY(summary.kind, kind_from(kind));
  TRY(summary.format, view.string_or("format", ""));
  TRY(summary.architecture, view.string_or("architecture", ""));
  TRY(summary.parameters, view.string_or("parameters", ""));
  TRY(summary.quantization, view.string_or("quantization", ""));
  TRY(summary.size, view.u64("size"));
  TRY(const std::uint64_t context_size, view.u64_or("context_size", 0));
  TRY(const std::uint64_t context_length, view.u64_or("context_length", 0));
  summary.context_size = positive(context_size);
  summary.context_length = positive(context_length);
  if (view.find("created")) {
    TRY(const std::int64_t created, view.i64_or("created", 0));
    summary.created = std::chrono::sys_seconds(std::chrono::seconds(created));
  }
  TRY(const std::string config, view.string("config"));
  TRY(summary.config, oci::Digest::parse(config));
  return summary;
}

}  // namespace

Summary summarize(const Model& model) {
  return {.kind = model.kind,
          .format = model.format,
          .architecture = model.architecture,
          .parameters = model.parameters,
          .quantization = model.quantization,
          .size = model.size,
          .context_size = model.context_size,
          .context_length = model.context_length,
          .created = model.created,
          .config = model.config.digest};
}

std::string to_text(const Summary& summary) {
  json::Object object;
  object["v"] = kVersion;
  object["kind"] = static_cast<std::uint64_t>(summary.kind);
  object["format"] = summary.format;
  object["architecture"] = summary.architecture;
  object["parameters"] = summary.parameters;
  object["quantization"] = summary.quantization;
  object["size"] = summary.size;
  if (summary.context_size) object["context_size"] = *summary.context_size;
  if (summary.context_length) object["context_length"] = *summary.context_length;
  if (summary.created) object["created"] = summary.created->time_since_epoch().count();
  object["config"] = summary.config.string();
  return json::serialize(object);
}

Result<Summary> summary_from_text(std::string_view text) {
  auto value = json::parse(text, "a model's summary");
  if (!value) return fail(Code::kCorrupt, "{}", value.error().message());
  auto summary = read(json::View(*value, "summary"));
  if (!summary) return fail(Code::kCorrupt, "{}", summary.error().message());
  return summary;
}

}  // namespace berth::model
