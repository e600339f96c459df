#include "model/bundle.h"

#include <algorithm>
#include <set>
#include <unistd.h>

#include "base/text.h"
#include "formats/classify.h"
#include "model/layers.h"
#include "model/unpack.h"

namespace berth::model {
namespace {

std::string folder_name(const oci::Digest& digest) {
  return fmt::format("{}-{}", digest.algorithm_name(), digest.hex());
}

Status list_files(const fs::Dir& dir, const std::string& below, std::vector<std::string>& files) {
  TRY(const auto names, dir.list());
  for (const std::string& name : names) {
    const std::string path = below.empty() ? name : below + "/" + name;
    TRY(const auto info, dir.find(name));
    if (info && info->is_directory) {
      TRY(const fs::Dir sub, dir.subdir(name));
      TRY_OK(list_files(sub, path, files));
    } else if (info && info->is_regular) {
      files.push_back(path);
    }
  }
  return {};
}

// Unpacks into a folder of this process and gives it its name when it is whole: a half one is never
// used. Two processes that do so at once make the same folder; the second rename fails and its work
// is thrown away.
Status unpack_once(const File& layer, const std::string& blob, const fs::Dir& cache) {
  const std::string name = folder_name(layer.descriptor.digest);
  TRY(const auto there, cache.find(name));
  if (there) return {};
  const std::string half = fmt::format("{}.{}.part", name, ::getpid());
  TRY_OK(cache.remove_tree(half));
  TRY(const fs::Dir into, cache.make_subdir(half));
  TRY(const fs::File archive, fs::open_user_file(blob));
  const auto files = unpack(archive, layer.packing, into);
  Status done = files ? cache.rename(half, name) : Status(std::unexpected(files.error()));
  if (!done) TRY_OK(cache.remove_tree(half));
  TRY(const auto whole, cache.find(name));
  return whole ? Status() : done;
}

Status add_packed(const File& layer, const std::string& blob, const fs::Dir& cache,
                  Bundle& bundle) {
  TRY_OK(in_context(unpack_once(layer, blob, cache),
                    fmt::format("cannot unpack the layer {}", layer.descriptor.digest.string())));
  const std::string name = folder_name(layer.descriptor.digest);
  TRY(const fs::Dir dir, cache.subdir(name));
  std::vector<std::string> files;
  TRY_OK(list_files(dir, "", files));
  for (const std::string& file : files) {
    bundle.files.push_back(
        {fmt::format("{}/{}/{}", cache.path(), name, file), file, role_of_file(file)});
  }
  return {};
}

Status add_files(const Model& model, const BlobPath& blob_path, const std::string& unpacked,
                 Bundle& bundle) {
  for (const File& file : model.files) {
    TRY(std::string blob, blob_path(file.descriptor.digest));
    if (file.packing == Packing::kRaw) {
      bundle.files.push_back({std::move(blob), file.path, file.role});
      continue;
    }
    TRY(const fs::Dir cache, fs::Dir::create(unpacked));
    TRY_OK(add_packed(file, blob, cache, bundle));
  }
  std::set<std::string> names;
  for (const BundleFile& file : bundle.files) {
    if (names.insert(file.name).second) continue;
    return fail(Code::kInvalid, "the model has two files named {}", printable(file.name));
  }
  return {};
}

// The names of a split model must be what llama.cpp expects, all of one set, with none missing.
Status check_shards(std::vector<std::string>& names) {
  std::ranges::sort(names);
  const auto first = formats::parse_shard_name(names[0]);
  const bool whole = first && first->number == 1 && first->count == names.size();
  for (std::uint32_t i = 0; whole && i < names.size(); ++i) {
    if (names[i] != first->of(i + 1))
      return fail(Code::kCorrupt, "part {} of the split model is missing", i + 1);
  }
  if (whole) return {};
  if (first) {
    return fail(Code::kCorrupt, "the split model is not whole: {} of {} parts of {} are here",
                names.size(), first->count, printable(first->prefix));
  }
  return fail(
      Code::kUnsupported,
      "the artifact holds {} models ({}, {}, …), so none can be chosen: package one of them",
      names.size(), printable(names[0], 80), printable(names[1], 80));
}

Status choose_gguf(Bundle& bundle) {
  std::vector<std::string> names;
  for (const BundleFile& file : bundle.files) {
    if (file.role == Role::kWeights) names.push_back(file.name);
  }
  if (names.empty())
    return fail(Code::kUnsupported,
                "the artifact holds no GGUF weights, so there is nothing to run");
  if (names.size() > 1) TRY_OK(check_shards(names));
  bundle.model = names[0];
  return {};
}

Status choose_model(Bundle& bundle) {
  if (bundle.format == "gguf") return choose_gguf(bundle);
  const bool weights = std::ranges::any_of(
      bundle.files, [](const auto& file) { return file.role == Role::kWeights; });
  if (!weights)
    return fail(Code::kUnsupported, "the artifact holds no weights, so there is nothing to run");
  bundle.model = ".";
  return {};
}

void choose_extras(Bundle& bundle) {
  for (const BundleFile& file : bundle.files) {
    if (file.role == Role::kMmproj && bundle.mmproj.empty()) bundle.mmproj = file.name;
    if (file.role == Role::kLora) bundle.loras.push_back(file.name);
    // chat_template.json is for other engines: it wraps the template.
    const bool jinja = file.role == Role::kChatTemplate && !file.name.ends_with(".json");
    if (jinja && bundle.chat_template.empty()) bundle.chat_template = file.name;
  }
}

std::string format_of(const Bundle& bundle) {
  std::vector<File> files;
  for (const BundleFile& file : bundle.files)
    files.push_back({.path = file.name, .role = file.role});
  return infer_format(files);
}

}  // namespace

Result<Bundle> make_bundle(const Model& model, const BlobPath& blob_path,
                           const std::string& unpacked) {
  Bundle bundle;
  bundle.format = model.format;
  bundle.context_size = model.context_size;
  TRY_OK(add_files(model, blob_path, unpacked, bundle));
  if (bundle.format.empty()) bundle.format = format_of(bundle);
  TRY_OK(choose_model(bundle));
  choose_extras(bundle);
  return bundle;
}

}  // namespace berth::model
