#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "formats/classify.h"
#include "formats/safetensors.h"
#include "fs/file.h"
#include "model/codecs.h"
#include "model/package_files.h"

namespace berth::model {
namespace {

constexpr std::size_t kMaxDepth = 16;
constexpr std::size_t kMaxJsonBytes = 64 * 1024 * 1024;

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

// One folder being packaged: its files by relative path, and what their headers say together.
class Folder {
 public:
  Folder(fs::Dir dir, std::string path) : dir_(std::move(dir)), path_(std::move(path)) {}

  Status walk() { return walk("", 0); }
  Status inspect_weights();
  Status check_shards() const;
  Status read_config(ConfigFacts& facts) const;
  void fill(Plan& plan);

 private:
  Status walk(const std::string& below, std::size_t depth);
  Status visit(const std::string& name, std::size_t depth);
  Status check_index(const std::string& index) const;
  bool has(const std::string& file) const { return files_.contains(file); }
  bool is_weights(const std::string& name) const {
    return formats::classify(name) == formats::FileClass::kSafetensors;
  }

  fs::Dir dir_;
  std::string path_;
  std::map<std::string, std::uint64_t> files_;  // name -> size
  std::map<std::string, std::string> metadata_;
  std::map<std::string, std::uint64_t> dtype_bytes_;
  std::uint64_t parameters_ = 0;
  std::uint64_t tensors_ = 0;
  std::uint64_t bytes_ = 0;
};

Status Folder::walk(const std::string& below, std::size_t depth) {
  if (depth > kMaxDepth)
    return fail(Code::kTooLarge, "{} has folders more than {} deep", printable(path_), kMaxDepth);
  std::vector<std::string> names;
  if (below.empty()) {
    TRY(names, dir_.list());
  } else {
    TRY(const fs::Dir sub, dir_.subdir(below));
    TRY(names, sub.list());
  }
  for (const std::string& name : names) {
    // Hidden files are the tools' own (.git, .cache), never the model's.
    if (name.starts_with('.')) continue;
    TRY_OK(visit(below.empty() ? name : below + "/" + name, depth));
  }
  return {};
}

Status Folder::visit(const std::string& name, std::size_t depth) {
  TRY_OK(in_context(fs::check_relative_path(name), "a file's name cannot be used in an artifact"));
  // fs::Dir follows no links: one that points out of the folder would put a stranger's file into
  // the artifact.
  const auto info = dir_.find(name);
  if (info && !*info) return {};
  if (info && (*info)->is_directory) return walk(name, depth + 1);
  if (!info || !(*info)->is_regular) {
    return fail(Code::kInvalid,
                "{}/{} is a link or a device: only what lies in the folder itself is packaged (cp "
                "-rL makes a copy "
                "without links)",
                printable(path_), printable(name));
  }
  if (files_.size() >= oci::kMaxLayers) {
    return fail(Code::kTooLarge, "{} holds more than {} files", printable(path_), oci::kMaxLayers);
  }
  files_.emplace(name, (*info)->size);
  return {};
}

Status Folder::inspect_weights() {
  for (const auto& [name, size] : files_) {
    if (!is_weights(name)) continue;
    TRY(const fs::File file, dir_.open_read(name));
    TRY(const formats::FileAccess access, formats::FileAccess::open(file));
    TRY(const formats::Safetensors header,
        in_context(formats::read_safetensors(access), printable(path_ + "/" + name)));
    parameters_ += header.parameters;
    tensors_ += header.tensors.size();
    bytes_ += size;
    dtype_bytes_[header.dtype] += size;
    metadata_.insert(header.metadata.begin(), header.metadata.end());
  }
  if (bytes_ > 0) return {};
  return fail(Code::kInvalid, "{} holds no .safetensors file{}", printable(path_),
              std::ranges::any_of(files_, [](const auto& f) { return f.first.ends_with(".gguf"); })
                  ? ": package a GGUF file with --gguf"
                  : "");
}

Status Folder::check_index(const std::string& index) const {
  TRY(const std::string text, dir_.read_small(index, kMaxJsonBytes));
  TRY(const auto names, in_context(formats::read_safetensors_index(text), printable(index)));
  for (const std::string& name : names) {
    if (has(folder_of(index) + name)) continue;
    return fail(Code::kNotFound, "{}, which {} names, is not in {}: download the missing part",
                printable(name), printable(index), printable(path_));
  }
  return {};
}

Status Folder::check_shards() const {
  for (const auto& [name, size] : files_) {
    if (name.ends_with(".safetensors.index.json")) TRY_OK(check_index(name));
    const auto shard = formats::parse_shard_name(name);
    if (!shard || !is_weights(name)) continue;
    for (std::uint32_t number = 1; number <= shard->count; ++number) {
      if (has(shard->of(number))) continue;
      return fail(Code::kNotFound, "part {} of {} is missing: there is no {} in {}", number,
                  shard->count, printable(shard->of(number)), printable(path_));
    }
  }
  return {};
}

Status Folder::read_config(ConfigFacts& facts) const {
  if (!has("config.json")) return {};
  TRY(const std::string text, dir_.read_small("config.json", kMaxJsonBytes));
  TRY(const formats::HuggingFaceConfig config,
      in_context(formats::read_huggingface_config(text), printable(path_)));
  facts.architecture = config.architecture;
  if (!config.quantization.empty()) facts.quantization = config.quantization;
  facts.context_length = config.context_length;
  return {};
}

void Folder::fill(Plan& plan) {
  for (const auto& [name, size] : files_) {
    plan.files.push_back(
        {.source = path_ + "/" + name, .path = name, .role = role_of_file(name), .size = size});
  }
  ConfigFacts& facts = plan.facts;
  facts.format = "safetensors";
  facts.parameters = format_count(static_cast<double>(parameters_));
  facts.size = config_size(bytes_);
  const auto most =
      std::ranges::max_element(dtype_bytes_, {}, [](const auto& entry) { return entry.second; });
  facts.quantization = most->first;
  for (const auto& [key, value] : metadata_) facts.safetensors[key] = value;
  facts.safetensors["tensor_count"] = fmt::format("{}", tensors_);
}

}  // namespace

Status inspect_safetensors_folder(const std::string& path, Plan& plan) {
  TRY(fs::Dir dir, fs::open_user_dir(path));
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.ends_with('/')) trimmed.pop_back();
  Folder folder(std::move(dir), std::move(trimmed));
  TRY_OK(folder.walk());
  TRY_OK(folder.inspect_weights());
  TRY_OK(folder.check_shards());
  folder.fill(plan);
  TRY_OK(folder.read_config(plan.facts));
  if (plan.facts.context_length) {
    plan.facts.safetensors["context_length"] = fmt::format("{}", *plan.facts.context_length);
  }
  return {};
}

}  // namespace berth::model
