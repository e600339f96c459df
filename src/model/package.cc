#include "model/package.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "base/text.h"
#include "formats/classify.h"
#include "formats/utf8.h"
#include "model/codecs.h"
#include "model/media.h"
#include "model/package_files.h"

namespace berth::model {
namespace {

// Layers come in this order, so that the same files always make the same manifest.
int rank(Role role) {
  constexpr auto kOrder =
      std::to_array<Role>({Role::kWeights, Role::kMmproj, Role::kLora, Role::kChatTemplate});
  const auto at = std::ranges::find(kOrder, role);
  return static_cast<int>(at - kOrder.begin()) + (role == Role::kLicense ? 1 : 0);
}

std::string_view docker_media_type(const PlannedFile& file) {
  switch (file.role) {
    case Role::kWeights: {
      const formats::FileClass kind = formats::classify(file.path);
      if (kind == formats::FileClass::kSafetensors) return media::kSafetensors;
      return kind == formats::FileClass::kDduf ? media::kDduf : media::kGguf;
    }
    case Role::kMmproj:
      return media::kMmproj;
    case Role::kLora:
      return media::kLora;
    case Role::kChatTemplate:
      return media::kChatTemplate;
    case Role::kLicense:
      return media::kLicense;
    default:
      return media::kModelFile;
  }
}

std::string_view modelpack_media_type(const PlannedFile& file) {
  switch (file.role) {
    case Role::kWeights:
    case Role::kMmproj:
    case Role::kLora:
      return media::kModelPackWeight;
    case Role::kLicense:
    case Role::kDoc:
      return media::kModelPackDoc;
    case Role::kCode:
      return media::kModelPackCode;
    default:
      return media::kModelPackWeightConfig;
  }
}

// What goes into a manifest must be JSON text.
bool is_utf8(const std::string& text) { return formats::lossy_utf8(text) == text; }

Status check_request(const PackageRequest& request) {
  const int sources =
      !request.gguf.empty() + !request.safetensors_dir.empty() + request.from.has_value();
  if (sources != 1) {
    return fail(Code::kInvalid,
                "a package is made of one of --gguf, --safetensors-dir and --from; {} were given",
                sources);
  }
  if (request.context_size && (*request.context_size == 0 || *request.context_size > INT32_MAX)) {
    return fail(Code::kInvalid, "the context size {} is out of range: 1 to {} are possible",
                *request.context_size, INT32_MAX);
  }
  for (const auto& [key, value] : request.annotations) {
    if (key.empty()) return fail(Code::kInvalid, "an annotation has no key: write key=value");
    if (is_utf8(key) && is_utf8(value)) continue;
    return fail(Code::kInvalid, "the annotation {} is not valid UTF-8", printable(key));
  }
  return {};
}

Kind kind_of(PackageFormat format, const ConfigFacts& facts) {
  if (format == PackageFormat::kModelPack) return Kind::kModelPack;
  return facts.format == "gguf" ? Kind::kDockerV01 : Kind::kDockerV02;
}
PackageFormat format_of(Kind kind) {
  return kind == Kind::kModelPack ? PackageFormat::kModelPack : PackageFormat::kDocker;
}

json::Object strings_of(const json::Object& config, std::string_view key) {
  const json::Value* value = config.if_contains(key);
  return value != nullptr && value->is_object() ? value->get_object() : json::Object();
}

std::string string_of(const json::Object& map, std::string_view key) {
  const json::Value* value = map.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

ConfigFacts facts_of(const Model& model) {
  ConfigFacts facts{.format = model.format,
                    .quantization = model.quantization,
                    .parameters = model.parameters,
                    .architecture = model.architecture,
                    .size = string_of(model.api_config, "size"),
                    .gguf = strings_of(model.api_config, "gguf"),
                    .safetensors = strings_of(model.api_config, "safetensors"),
                    .diffusers = strings_of(model.api_config, "diffusers"),
                    .context_size = model.context_size,
                    .context_length = model.context_length};
  facts.name = string_of(facts.gguf, "general.name");
  facts.license = string_of(facts.gguf, "general.license");
  return facts;
}

// Of compressed layers only the original config knows the digest of the unpacked bytes.
std::vector<std::string> diff_ids_of(const Existing& from, const json::Object& config) {
  std::vector<std::string> ids;
  const json::Object modelfs = strings_of(config, "modelfs");
  const json::Value* list = modelfs.if_contains("diffIds");
  if (list == nullptr || !list->is_array() || list->get_array().size() != from.model.files.size())
    return ids;
  for (const json::Value& id : list->get_array())
    ids.push_back(id.is_string() ? std::string(id.get_string()) : "");
  return ids;
}

bool replaced_by(const PackageRequest& request, Role role) {
  return (role == Role::kChatTemplate && !request.chat_template.empty()) ||
         (role == Role::kMmproj && !request.mmproj.empty()) ||
         (role == Role::kLicense && !request.licenses.empty());
}

Status plan_existing(const PackageRequest& request, Plan& plan) {
  const Existing& from = *request.from;
  const PackageFormat format = request.format.value_or(format_of(from.model.kind));
  plan.facts = facts_of(from.model);
  const bool converts = format != format_of(from.model.kind);
  plan.kind = converts ? kind_of(format, plan.facts) : from.model.kind;
  plan.created = from.model.created.value_or(std::chrono::sys_seconds{});
  plan.annotations = from.model.annotations;
  TRY(const json::Value config, json::parse(from.config_bytes, "the model's config"));
  if (!config.is_object())
    return fail(Code::kCorrupt, "the config of the model is not a JSON object");
  if (!converts) plan.base = config.get_object();
  const std::vector<std::string> diff_ids = diff_ids_of(from, config.get_object());
  for (std::size_t i = 0; i < from.model.files.size(); ++i) {
    const File& file = from.model.files[i];
    if (replaced_by(request, file.role)) continue;
    if (converts && file.packing != Packing::kRaw) {
      return fail(Code::kUnsupported,
                  "the model has {} layers, which the other format cannot hold: keep its format",
                  to_string(file.packing));
    }
    plan.files.push_back(
        {.existing = file.descriptor,
         .path = file.path,
         .role = file.role,
         .packing = file.packing,
         .media_type = converts ? "" : file.descriptor.media_type,
         .size = file.descriptor.size,
         .diff_id = i < diff_ids.size() ? diff_ids[i] : file.descriptor.digest.string()});
  }
  return {};
}

Status plan_new(const PackageRequest& request, Plan& plan) {
  if (!request.gguf.empty()) {
    TRY_OK(inspect_gguf_model(request.gguf, plan));
  } else {
    TRY_OK(inspect_safetensors_folder(request.safetensors_dir, plan));
  }
  plan.kind = kind_of(request.format.value_or(PackageFormat::kDocker), plan.facts);
  return {};
}

Status add_extras(const PackageRequest& request, Plan& plan) {
  if (!request.mmproj.empty()) {
    TRY(PlannedFile file, inspect_mmproj(request.mmproj));
    plan.files.push_back(std::move(file));
  }
  for (const std::string& path : request.loras) {
    TRY(PlannedFile file, inspect_lora(path, plan.facts.architecture));
    plan.files.push_back(std::move(file));
  }
  if (!request.chat_template.empty()) {
    TRY(PlannedFile file, inspect_chat_template(request.chat_template));
    plan.files.push_back(std::move(file));
  }
  for (const std::string& path : request.licenses) {
    TRY(PlannedFile file, inspect_license(path));
    plan.files.push_back(std::move(file));
  }
  return {};
}

// Layers of an existing model stay where they are, before the new ones. A folder keeps its own
// order (by path); elsewhere weights come first.
void sort_files(Plan& plan) {
  const auto fresh =
      std::ranges::find_if(plan.files, [](const PlannedFile& file) { return !file.existing; });
  const bool by_role = plan.facts.format == "gguf";
  std::sort(fresh, plan.files.end(), [by_role](const PlannedFile& a, const PlannedFile& b) {
    if (by_role && rank(a.role) != rank(b.role)) return rank(a.role) < rank(b.role);
    return a.path < b.path;
  });
}

Status finish_files(Plan& plan) {
  sort_files(plan);
  std::set<std::string> paths;
  for (PlannedFile& file : plan.files) {
    if (file.packing == Packing::kRaw && !paths.insert(file.path).second) {
      return fail(Code::kInvalid, "two files of the package would be named {}: rename one",
                  printable(file.path));
    }
    if (!is_utf8(file.path)) {
      return fail(
          Code::kInvalid,
          "the file name {} is not valid UTF-8, so no artifact can hold it: rename the file",
          printable(file.path));
    }
    if (!file.media_type.empty()) continue;
    file.media_type =
        plan.kind == Kind::kModelPack ? modelpack_media_type(file) : docker_media_type(file);
  }
  if (plan.files.size() > oci::kMaxLayers) {
    return fail(Code::kTooLarge, "the package has {} files; at most {} are possible",
                plan.files.size(), oci::kMaxLayers);
  }
  return {};
}

// The files that the user named are input: one that is damaged or of another kind is malformed
// input.
Status as_input(Status read) {
  if (read || read.error().code() != Code::kCorrupt) return read;
  return fail(Code::kInvalid, "{}", read.error().message());
}

}  // namespace

std::optional<PackageFormat> package_format_from_string(std::string_view name) {
  if (name == "docker") return PackageFormat::kDocker;
  if (name == "modelpack" || name == "cncf") return PackageFormat::kModelPack;
  return std::nullopt;
}

Result<std::chrono::sys_seconds> parse_source_date_epoch(std::string_view text) {
  if (text.empty()) return std::chrono::sys_seconds{};
  constexpr std::uint64_t kYear9999 = 253'402'300'799;  // RFC 3339 has four digits for the year
  const auto seconds = parse_u64(text);
  if (seconds && *seconds <= kYear9999)
    return std::chrono::sys_seconds(std::chrono::seconds(*seconds));
  return fail(Code::kInvalid,
              "SOURCE_DATE_EPOCH is \"{}\", which is not a number of seconds since 1970",
              printable(text));
}

Result<Plan> plan_package(const PackageRequest& request) {
  TRY_OK(check_request(request));
  Plan plan;
  if (request.from) {
    TRY_OK(plan_existing(request, plan));
  } else {
    TRY_OK(as_input(plan_new(request, plan)));
  }
  TRY_OK(as_input(add_extras(request, plan)));
  TRY_OK(finish_files(plan));
  if (request.context_size) plan.facts.context_size = request.context_size;
  if (request.created) plan.created = *request.created;
  for (const auto& [key, value] : request.annotations) plan.annotations[key] = value;
  return plan;
}

}  // namespace berth::model
