#include "store/layout.h"

#include <algorithm>
#include <set>

#include "base/failpoint.h"
#include "json/json.h"

namespace berth::store {
namespace {

constexpr std::string_view kLayoutFile = "oci-layout";
constexpr std::string_view kLayoutVersion = R"({"imageLayoutVersion":"1.0.0"})";
constexpr std::string_view kAlgorithms[] = {"sha256", "sha512"};

Status check_version(const fs::Dir& root) {
  TRY(const std::string text, root.read_small(kLayoutFile, 4096));
  TRY(const json::Value value, json::parse(text, root.path() + "/oci-layout"));
  TRY(const std::string version, json::View(value, "oci-layout").string("imageLayoutVersion"));
  if (version.starts_with("1.")) return {};
  return fail(Code::kUnsupported, "{} is an OCI layout of version {}; this Berth reads version 1",
              root.path(), printable(version, 20));
}

// A folder that holds something else is not turned into a store.
Status check_empty(const fs::Dir& root, const FolderNames& called) {
  TRY(const auto names, root.list());
  const auto foreign = std::ranges::find_if_not(names, Layout::is_own_name);
  if (foreign == names.end()) return {};
  return fail(Code::kInvalid,
              "{} is not a {} and not empty (it holds {}): choose another folder with {}",
              root.path(), called.kind, printable(*foreign, 80), called.chosen_with);
}

Status make(const fs::Dir& root, const FolderNames& called) {
  TRY_OK(check_empty(root, called));
  TRY_OK(root.make_subdir("blobs/sha256", 0755));
  TRY_OK(root.make_subdir(kIngestFolder));
  TRY_OK(root.make_subdir("locks"));
  return root.replace(kLayoutFile, kLayoutVersion, 0644);
}

void add(DiskUse& sum, const fs::FileInfo& info) {
  sum.apparent += info.size;
  sum.allocated += info.blocks * 512;
}

// Files that go away while we look are simply not counted.
void walk(const fs::Dir& dir, std::set<std::pair<std::uint64_t, std::uint64_t>>& seen,
          DiskUse& sum) {
  const auto names = dir.list();
  if (!names) return;
  for (const std::string& name : *names) {
    const auto info = dir.find(name);
    if (!info || !*info) continue;
    if ((*info)->is_directory) {
      if (const auto below = dir.subdir(name)) walk(*below, seen, sum);
    } else if ((*info)->links == 1 || seen.emplace((*info)->device, (*info)->inode).second) {
      add(sum, **info);
    }
  }
}

}  // namespace

Result<Layout> Layout::open(const std::string& root, Access access, FolderNames names) {
  if (access == Access::kReadOnly) {
    TRY(fs::Dir dir, fs::Dir::open(root));
    TRY_OK(check_version(dir));
    return Layout(std::move(dir), access, names);
  }
  TRY(fs::Dir dir, fs::Dir::create(root));
  TRY(const auto found, dir.find(kLayoutFile));
  if (!found) TRY_OK(make(dir, names));
  if (found) TRY_OK(check_version(dir));
  TRY(const auto ingest, dir.find(kIngestFolder));
  if (!ingest) TRY_OK(dir.make_subdir(kIngestFolder));
  TRY(const auto locks, dir.find("locks"));
  if (!locks) TRY_OK(dir.make_subdir("locks"));
  TRY(const auto blobs, dir.find("blobs/sha256"));
  if (!blobs) TRY_OK(dir.make_subdir("blobs/sha256", 0755));
  return Layout(std::move(dir), access, names);
}

std::string Layout::ingest_name(const oci::Digest& digest) {
  return fmt::format("{}/{}-{}", kIngestFolder, digest.algorithm_name(), digest.hex());
}

std::optional<oci::Digest> Layout::ingest_digest(std::string_view folder) {
  const std::size_t dash = folder.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  auto digest =
      oci::Digest::parse(fmt::format("{}:{}", folder.substr(0, dash), folder.substr(dash + 1)));
  if (!digest) return std::nullopt;
  return std::move(*digest);
}

bool Layout::is_own_name(std::string_view name) {
  static constexpr std::string_view kNames[] = {"blobs", kRefsLogFile, kIngestFolder, "locks",
                                                "lost+found"};
  return std::ranges::find(kNames, name) != std::end(kNames) || name.starts_with(kCatalogueFile) ||
         name == "index.json" || name.starts_with(".index.json.new.") ||
         name.starts_with(kLayoutFile) || name.starts_with(".oci-layout.new.");
}

Result<std::optional<fs::FileInfo>> Layout::find_blob(const oci::Digest& digest) const {
  return root_.find(blob_name(digest));
}

Result<std::vector<oci::Digest>> Layout::list_blobs() const {
  std::vector<oci::Digest> digests;
  for (const std::string_view algorithm : kAlgorithms) {
    const auto dir = root_.subdir(fmt::format("blobs/{}", algorithm));
    if (!dir) continue;
    TRY(const auto names, dir->list());
    for (const std::string& name : names) {
      if (auto digest = oci::Digest::parse(fmt::format("{}:{}", algorithm, name))) {
        digests.push_back(std::move(*digest));
      }
    }
  }
  return digests;
}

Status Layout::publish(const std::string& file, const oci::Digest& digest) const {
  const std::string to = blob_name(digest);
  Status done = root_.rename(file, to);
  if (done || done.error().code() != Code::kNotFound) return done;
  // Only sha512 comes this way: its folder is made when it is first needed.
  TRY_OK(root_.make_subdir(fmt::format("blobs/{}", digest.algorithm_name()), 0755));
  return root_.rename(file, to);
}

Status Layout::sync_blobs(const oci::Digest& digest) const {
  BERTH_FAILPOINT("store.commit.before_folder_sync");
  TRY(const fs::Dir dir, root_.subdir(fmt::format("blobs/{}", digest.algorithm_name())));
  return dir.sync();
}

DiskUse Layout::disk_use(std::string_view folder) const {
  DiskUse sum;
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
  if (const auto dir = root_.subdir(folder)) walk(*dir, seen, sum);
  return sum;
}

Result<Usage> Layout::usage() const {
  Usage usage{.blobs = disk_use("blobs"),
              .ingest = disk_use(kIngestFolder),
              .catalogue = disk_use("locks")};
  TRY(const auto names, root_.list());
  for (const std::string& name : names) {
    TRY(const auto info, root_.find(name));
    if (info && info->is_regular) add(usage.catalogue, *info);
  }
  return usage;
}

}  // namespace berth::store
