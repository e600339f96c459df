// docker.ai v0.1 and v0.2: {"config":{…},"descriptor":{"created"},"rootfs":{…}}; model-spec's
// createdAt is read as well.
#include <array>

#include "model/codecs.h"

namespace berth::model {
namespace {

constexpr std::int64_t kMaxContext = INT32_MAX;  // the field is an int32 for Docker Model Runner

Result<std::string> text(const std::optional<json::View>& object, std::string_view key) {
  return object ? object->string_or(key, "") : std::string();
}

// A map of strings; what is not one is left out, as Docker Model Runner could not hold it.
Result<json::Object> strings(const json::View& config, std::string_view key) {
  json::Object out;
  const auto map = config.find(key);
  if (!map) return out;
  TRY(const auto members, map->object());
  for (const auto& [name, value] : members) {
    if (value.value().is_string()) out[name] = value.value();
  }
  return out;
}

std::optional<std::uint64_t> number_in(const json::Object& map, std::string_view key) {
  const json::Value* value = map.if_contains(key);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return parse_u64(value->get_string());
}

std::optional<std::uint64_t> trained_context(const json::Object& gguf,
                                             const json::Object& safetensors,
                                             const std::string& architecture) {
  const json::Value* named = gguf.if_contains("general.architecture");
  const std::string prefix = named != nullptr ? std::string(named->get_string()) : architecture;
  if (const auto length = number_in(gguf, prefix + ".context_length")) return length;
  return number_in(safetensors, "context_length");
}

Status read_created(const json::View& config, Model& model) {
  const auto descriptor = config.find("descriptor");
  if (descriptor) TRY_OK(check_object(*descriptor));
  TRY(std::string created, text(descriptor, "created"));
  if (created.empty()) {
    TRY(created, text(descriptor, "createdAt"));
  }
  model.created = parse_rfc3339(created);
  return {};
}

Status read_facts(const json::View& facts, Model& model) {
  TRY(model.format, facts.string_or("format", ""));
  TRY(model.architecture, facts.string_or("architecture", ""));
  TRY(model.parameters, facts.string_or("parameters", ""));
  TRY(model.quantization, facts.string_or("quantization", ""));
  TRY(const std::int64_t context, facts.i64_or("context_size", 0));
  if (context > kMaxContext)
    return fail(Code::kInvalid, "config.config.context_size: {} is out of range", context);
  if (context > 0) model.context_size = static_cast<std::uint64_t>(context);
  return {};
}

}  // namespace

std::string config_size(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 7> kUnits = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1000 && unit + 1 < kUnits.size(); ++unit) value /= 1000;
  return fmt::format("{:.2f}{}", value, kUnits[unit]);
}

Status read_docker_config(const oci::Manifest&, const json::View& config, Model& model) {
  TRY_OK(read_created(config, model));
  static const json::Value kEmpty = json::Object();
  const json::View facts =
      config.find("config").value_or(json::View(kEmpty, config.path() + ".config"));
  TRY_OK(check_object(facts));
  TRY_OK(read_facts(facts, model));
  if (model.format.empty()) model.format = infer_format(model.files);
  TRY(json::Object gguf, strings(facts, "gguf"));
  TRY(json::Object safetensors, strings(facts, "safetensors"));
  TRY(json::Object diffusers, strings(facts, "diffusers"));
  TRY(const std::string size, facts.string_or("size", config_size(model.size)));
  model.context_length = trained_context(gguf, safetensors, model.architecture);

  json::Object& api = model.api_config;
  const auto add = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) api[key] = value;
  };
  add("format", model.format);
  add("quantization", model.quantization);
  add("parameters", model.parameters);
  add("architecture", model.architecture);
  add("size", size);
  if (!gguf.empty()) api["gguf"] = std::move(gguf);
  if (!safetensors.empty()) api["safetensors"] = std::move(safetensors);
  if (!diffusers.empty()) api["diffusers"] = std::move(diffusers);
  if (model.context_size) api["context_size"] = *model.context_size;
  return {};
}

}  // namespace berth::model
