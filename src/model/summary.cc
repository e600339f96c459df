#include "model/summary.h"

#include "base/text.h"

namespace berth::model {
namespace {

// Fields in a fixed order, each with its length ("4:gguf"), so that nothing in them needs escaping.
// The first one is the version: raised when a field changes, so that an older text is made anew.
constexpr std::uint64_t kVersion = 2;

void put(std::string& text, std::string_view field) {
  text += fmt::format("{}:{}", field.size(), field);
}
void put(std::string& text, std::uint64_t number) { put(text, fmt::format("{}", number)); }

class Fields {
 public:
  explicit Fields(std::string_view text) : rest_(text) {}

  Result<std::string_view> text() {
    const std::size_t colon = rest_.find(':');
    const auto size = parse_u64(rest_.substr(0, std::min<std::size_t>(colon, 10)));
    if (colon == std::string_view::npos || !size || *size > rest_.size() - colon - 1)
      return fail(Code::kCorrupt, "this is no summary of a model");
    const std::string_view field = rest_.substr(colon + 1, *size);
    rest_.remove_prefix(colon + 1 + *size);
    return field;
  }
  Result<std::uint64_t> number() {
    TRY(const std::string_view field, text());
    const auto number = parse_u64(field);
    if (!number) return fail(Code::kCorrupt, "a number of a model's summary is none");
    return *number;
  }
  bool ended() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

Result<Kind> kind_from(std::uint64_t number) {
  if (number <= static_cast<std::uint64_t>(Kind::kModelPack)) return static_cast<Kind>(number);
  return fail(Code::kCorrupt, "unknown kind of model {}", number);
}

std::optional<std::uint64_t> positive(std::uint64_t number) {
  return number == 0 ? std::nullopt : std::optional(number);
}

// 0 and "" stand for what is not known.
std::optional<std::chrono::sys_seconds> time_of(std::string_view text) {
  const auto seconds = parse_i64(text);
  if (!seconds) return std::nullopt;
  return std::chrono::sys_seconds(std::chrono::seconds(*seconds));
}

}  // namespace

Summary summarize(const Model& model) {
  const json::Value* config_size = model.api_config.if_contains("size");
  return {.kind = model.kind,
          .format = model.format,
          .architecture = model.architecture,
          .parameters = model.parameters,
          .quantization = model.quantization,
          .size = model.size,
          .config_size = config_size != nullptr && config_size->is_string()
                             ? std::string(config_size->get_string())
                             : "",
          .context_size = model.context_size,
          .context_length = model.context_length,
          .created = model.created,
          .config = model.config.digest};
}

std::string to_text(const Summary& summary) {
  std::string text;
  put(text, kVersion);
  put(text, static_cast<std::uint64_t>(summary.kind));
  for (const std::string* field : {&summary.format, &summary.architecture, &summary.parameters,
                                   &summary.quantization, &summary.config_size}) {
    put(text, *field);
  }
  put(text, summary.size);
  put(text, summary.context_size.value_or(0));
  put(text, summary.context_length.value_or(0));
  put(text, summary.created ? fmt::format("{}", summary.created->time_since_epoch().count()) : "");
  put(text, summary.config.string());
  return text;
}

Result<Summary> summary_from_text(std::string_view text) {
  Fields fields(text);
  TRY(const std::uint64_t version, fields.number());
  if (version != kVersion) return fail(Code::kCorrupt, "a summary of version {}", version);
  Summary summary;
  TRY(const std::uint64_t kind, fields.number());
  TRY(summary.kind, kind_from(kind));
  for (std::string* field : {&summary.format, &summary.architecture, &summary.parameters,
                             &summary.quantization, &summary.config_size}) {
    TRY(*field, fields.text());
  }
  TRY(summary.size, fields.number());
  TRY(const std::uint64_t context_size, fields.number());
  TRY(const std::uint64_t context_length, fields.number());
  summary.context_size = positive(context_size);
  summary.context_length = positive(context_length);
  TRY(const std::string_view created, fields.text());
  summary.created = time_of(created);
  TRY(const std::string_view config, fields.text());
  const auto digest = oci::Digest::parse(config);
  if (!digest || !fields.ended()) return fail(Code::kCorrupt, "this is no summary of a model");
  summary.config = *digest;
  return summary;
}

}  // namespace berth::model
