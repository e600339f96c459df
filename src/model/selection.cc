#include "model/selection.h"

#include <algorithm>

#include "base/text.h"
#include "formats/classify.h"
#include "model/layers.h"

namespace berth::model {
namespace {

constexpr std::size_t kMostNames = 20;

bool has_path(const File& file) { return !annotated_path(file.descriptor).empty(); }

std::unexpected<Error> nothing_matches(const Model& model, const std::vector<Glob>& include) {
  std::vector<std::string> there;
  for (const File& file : model.files) {
    if (has_path(file)) there.push_back(file.path);
  }
  if (there.empty()) {
    return fail(Code::kInvalid,
                "the model's layers do not say which files they are, so none can be chosen: leave "
                "--include out");
  }
  std::vector<std::string> patterns;
  for (const Glob& glob : include) patterns.push_back(glob.text());
  return fail(Code::kInvalid, "no file of the model matches {}; it has {}",
              some_of(patterns, kMostNames), some_of(there, kMostNames));
}

// Parts of one model have the same prefix.
std::string split_model_of(const File& file) {
  const auto shard = formats::parse_shard_name(file.path);
  return shard ? std::string(shard->prefix) : "";
}

bool is_loaded(Role role) {
  return role == Role::kWeights || role == Role::kMmproj || role == Role::kLora ||
         role == Role::kChatTemplate;
}

}  // namespace

std::string some_of(const std::vector<std::string>& names, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < most; ++i) {
    const bool last = i > 0 && i + 1 == names.size();
    text += fmt::format("{}{}", i == 0 ? "" : last ? " and " : ", ", printable(names[i], 120));
  }
  if (names.size() > most) text += fmt::format(" and {} more", names.size() - most);
  return text;
}

Result<Selection> select_files(const Model& model, const std::vector<Glob>& include) {
  // A layer may be several files: of the same bytes, or named twice.
  std::set<oci::Digest> wanted{model.config.digest};
  std::set<std::string> matched;
  for (const File& file : model.files) {
    if (!has_path(file)) wanted.insert(file.descriptor.digest);
    for (const Glob& glob : include) {
      if (!has_path(file) || !glob.matches(file.path)) continue;
      wanted.insert(file.descriptor.digest);
      matched.insert(glob.text());
    }
  }
  if (matched.empty()) return nothing_matches(model, include);
  Selection selection;
  for (const File& file : model.files) {
    if (!wanted.contains(file.descriptor.digest)) selection.unwanted.insert(file.descriptor.digest);
  }
  for (const Glob& glob : include) {
    if (!matched.contains(glob.text())) selection.unmatched.push_back(glob.text());
  }
  return selection;
}

std::vector<std::string> paths_of(const Model& model, const std::set<oci::Digest>& left_out) {
  std::vector<std::string> paths;
  for (const File& file : model.files) {
    if (left_out.contains(file.descriptor.digest)) paths.push_back(file.path);
  }
  return paths;
}

std::vector<std::string> missed_by_engine(const Model& model,
                                          const std::set<oci::Digest>& left_out) {
  std::set<Role> here;
  std::set<std::string> split;
  for (const File& file : model.files) {
    if (left_out.contains(file.descriptor.digest)) continue;
    here.insert(file.role);
    split.insert(split_model_of(file));
  }
  split.erase("");
  std::vector<std::string> missed;
  for (const File& file : model.files) {
    if (!left_out.contains(file.descriptor.digest) || !is_loaded(file.role)) continue;
    if (!here.contains(file.role) || split.contains(split_model_of(file)))
      missed.push_back(file.path);
  }
  return missed;
}

Model without_files(Model model, const std::set<oci::Digest>& left_out) {
  std::erase_if(model.files,
                [&](const File& file) { return left_out.contains(file.descriptor.digest); });
  return model;
}

}  // namespace berth::model
