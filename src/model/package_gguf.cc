#include <algorithm>

#include "base/text.h"
#include "formats/classify.h"
#include "fs/file.h"
#include "model/codecs.h"
#include "model/package_files.h"

namespace berth::model {
namespace {

constexpr std::uint64_t kMaxTemplateBytes = 1024 * 1024;
constexpr std::uint64_t kMaxLicenseBytes = 16 * 1024 * 1024;

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

struct Inspected {
  formats::Gguf gguf;
  formats::GgufFacts facts;
};

Result<Inspected> inspect(const std::string& path) {
  TRY(const fs::File file, fs::open_user_file(path));
  TRY(const formats::FileAccess access, formats::FileAccess::open(file));
  TRY(formats::Gguf gguf, in_context(formats::read_gguf(access), printable(path)));
  formats::GgufFacts facts = formats::gguf_facts(gguf);
  return Inspected{std::move(gguf), std::move(facts)};
}

Result<PlannedFile> planned(const std::string& path, Role role, std::uint64_t size) {
  PlannedFile file{.source = path, .path = base_name(path), .role = role, .size = size};
  TRY_OK(in_context(fs::check_relative_path(file.path),
                    "the file's name cannot be used in an artifact"));
  return file;
}

Status check_is_base_model(const std::string& path, const formats::GgufFacts& facts) {
  if (facts.is_lora()) {
    return fail(
        Code::kInvalid,
        "{} is a LoRA adapter, not a model: package the base model and add this with --lora",
        printable(path));
  }
  if (facts.is_projector()) {
    return fail(Code::kInvalid,
                "{} is a multimodal projector, not a model: add it to its model with --mmproj",
                printable(path));
  }
  return {};
}

// The paths of all shards, the first one first; one path when the model is not split.
std::vector<std::string> shard_paths(const std::string& path) {
  const auto name = formats::parse_shard_name(path);
  if (!name || name->count == 1) return {path};
  std::vector<std::string> paths;
  for (std::uint32_t number = 1; number <= name->count; ++number) paths.push_back(name->of(number));
  return paths;
}

Status check_shard(const std::string& path, const formats::GgufFacts& facts, std::size_t number,
                   std::size_t count) {
  if (facts.split_count == count && facts.split_number == number) return {};
  if (count == 1) {
    return fail(
        Code::kInvalid,
        "{} is part {} of {} of a split model, but its name does not say so: rename the parts to "
        "NAME-{:05}-of-{:05}.gguf and so on",
        printable(path), facts.split_number + 1, facts.split_count, facts.split_number + 1,
        facts.split_count);
  }
  return fail(Code::kCorrupt, "{} is named as part {} of {}, but its header says part {} of {}",
              printable(path), number + 1, count, facts.split_number + 1, facts.split_count);
}

json::Object to_json(const std::map<std::string, std::string>& strings) {
  json::Object out;
  for (const auto& [key, value] : strings) out[key] = value;
  return out;
}

void fill_facts(const Inspected& first, std::uint64_t parameters, std::uint64_t bytes,
                ConfigFacts& facts) {
  facts.format = "gguf";
  facts.quantization = first.facts.quantization;
  facts.parameters = format_count(static_cast<double>(parameters));
  facts.architecture = first.facts.architecture;
  facts.name = first.facts.name;
  facts.license = first.facts.license;
  facts.size = config_size(bytes);
  facts.gguf = to_json(formats::gguf_strings(first.gguf));
  facts.context_length = first.facts.context_length;
}

Result<PlannedFile> inspect_small(const std::string& path, Role role, std::uint64_t limit) {
  TRY(const fs::File file, fs::open_user_file(path));
  TRY(const fs::FileInfo info, file.info());
  if (info.size == 0 || info.size > limit) {
    return fail(Code::kInvalid, "{} has {} bytes; a {} has 1 to {}", printable(path), info.size,
                to_string(role), limit);
  }
  return planned(path, role, info.size);
}

}  // namespace

Status inspect_gguf_model(const std::string& path, Plan& plan) {
  const std::vector<std::string> paths = shard_paths(path);
  std::optional<Inspected> first;
  std::uint64_t parameters = 0;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const std::string doing =
        paths.size() == 1 ? "cannot package"
                          : fmt::format("cannot package part {} of {}", i + 1, paths.size());
    TRY(Inspected shard, in_context(inspect(paths[i]), doing));
    TRY_OK(check_is_base_model(paths[i], shard.facts));
    TRY_OK(check_shard(paths[i], shard.facts, i, paths.size()));
    TRY(PlannedFile file, planned(paths[i], Role::kWeights, shard.gguf.file_size));
    plan.files.push_back(std::move(file));
    parameters += shard.facts.parameters;
    bytes += shard.gguf.file_size;
    if (i == 0) first = std::move(shard);
  }
  fill_facts(*first, parameters, bytes, plan.facts);
  return {};
}

Result<PlannedFile> inspect_mmproj(const std::string& path) {
  TRY(const Inspected file, inspect(path));
  if (!file.facts.is_projector()) {
    return fail(Code::kInvalid,
                "{} is not a multimodal projector: its architecture is \"{}\" instead of \"clip\"",
                printable(path), printable(file.facts.architecture));
  }
  return planned(path, Role::kMmproj, file.gguf.file_size);
}

Result<PlannedFile> inspect_lora(const std::string& path, const std::string& architecture) {
  TRY(const Inspected file, inspect(path));
  if (!file.facts.is_lora()) {
    return fail(Code::kInvalid,
                "{} is not a LoRA adapter: its general.type is \"{}\" instead of \"adapter\"",
                printable(path), printable(file.facts.kind));
  }
  if (!architecture.empty() && file.facts.architecture != architecture) {
    return fail(Code::kInvalid, "the LoRA adapter {} is for {} models and this one is {}",
                printable(path), printable(file.facts.architecture), printable(architecture));
  }
  return planned(path, Role::kLora, file.gguf.file_size);
}

Result<PlannedFile> inspect_chat_template(const std::string& path) {
  return inspect_small(path, Role::kChatTemplate, kMaxTemplateBytes);
}

Result<PlannedFile> inspect_license(const std::string& path) {
  return inspect_small(path, Role::kLicense, kMaxLicenseBytes);
}

}  // namespace berth::model
