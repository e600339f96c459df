// CNCF ModelPack:
// {"descriptor":{"createdAt",…},"config":{"architecture","format","paramSize",…},"modelfs":{…}}.
// What it has no field for (context size) is in Berth's annotations of the manifest.
#include "model/codecs.h"
#include "model/media.h"

namespace berth::model {
namespace {

std::optional<std::uint64_t> number_annotation(const oci::Manifest& manifest,
                                               std::string_view key) {
  const auto found = manifest.annotations.find(std::string(key));
  if (found == manifest.annotations.end()) return std::nullopt;
  const auto number = parse_u64(found->second);
  return number && *number > 0 && *number <= INT32_MAX ? number : std::nullopt;
}

// "127.68k" as it stands in a ModelPack is "127.68K" everywhere else.
std::string usual_count(std::string count) {
  if (!count.empty() && std::string_view("kmbt").contains(count.back()))
    count.back() = static_cast<char>(count.back() - 'a' + 'A');
  return count;
}

}  // namespace

Status read_modelpack_config(const oci::Manifest& manifest, const json::View& config,
                             Model& model) {
  if (const auto descriptor = config.find("descriptor")) {
    TRY_OK(check_object(*descriptor));
    TRY(const std::string created, descriptor->string_or("createdAt", ""));
    model.created = parse_rfc3339(created);
    // Nothing depends on it: one that is no list is none.
    model.licenses = descriptor->strings_or_empty("licenses").value_or(std::vector<std::string>());
  }
  if (const auto facts = config.find("config")) {
    TRY_OK(check_object(*facts));
    TRY(model.format, facts->string_or("format", ""));
    TRY(model.architecture, facts->string_or("architecture", ""));
    TRY(std::string parameters, facts->string_or("paramSize", ""));
    model.parameters = usual_count(std::move(parameters));
    TRY(model.quantization, facts->string_or("quantization", ""));
    if (model.quantization.empty()) {
      TRY(model.quantization, facts->string_or("precision", ""));
    }
  }
  model.format = to_lower(model.format);
  if (model.format.empty()) model.format = infer_format(model.files);
  model.context_size = number_annotation(manifest, annotation::kContextSize);
  model.context_length = number_annotation(manifest, annotation::kContextLength);

  json::Object& api = model.api_config;
  const auto add = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) api[key] = value;
  };
  add("format", model.format);
  add("quantization", model.quantization);
  add("parameters", model.parameters);
  add("architecture", model.architecture);
  add("size", config_size(model.size));
  if (model.context_size) api["context_size"] = *model.context_size;
  return {};
}

}  // namespace berth::model
