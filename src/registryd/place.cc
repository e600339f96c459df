#include "registryd/place.h"

#include <algorithm>
#include <array>
#include <vector>

#include "http/message.h"
#include "oci/reference.h"

namespace berth::registryd {
namespace {

constexpr std::string_view kRoot = "/v2";

bool ends_with(const std::vector<std::string_view>& parts,
               std::initializer_list<std::string_view> tail) {
  if (parts.size() < tail.size()) return false;
  return std::equal(tail.begin(), tail.end(),
                    parts.end() - static_cast<std::ptrdiff_t>(tail.size()));
}

std::vector<std::string_view> parts_of(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (!part.empty()) parts.push_back(part);
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return parts;
}

Result<std::optional<Place>> named(Resource resource, const std::vector<std::string_view>& parts,
                                   std::size_t tail, std::string_view reference = {}) {
  std::string name;
  for (std::size_t i = 0; i + tail < parts.size(); ++i) {
    if (i > 0) name.push_back('/');
    name.append(parts[i]);
  }
  if (!oci::is_repository(name)) {
    return fail(Code::kInvalid,
                "\"{}\" is no repository name: lower-case letters, digits and . _ - between /",
                printable(name, 80));
  }
  return Place{.resource = resource,
               .repository = std::move(name),
               .reference = http::percent_decode(reference)};
}

constexpr std::string_view kExtension = "_berth";

struct ExtensionRow {
  std::string_view name;
  std::optional<Resource> alone;            // _berth/<name>
  std::optional<Resource> with_repository;  // _berth/<name>/<repository>
};
constexpr ExtensionRow kExtensionRows[] = {
    {"search", Resource::kSearch, std::nullopt},
    {"models", std::nullopt, Resource::kModels},
    {"tags", std::nullopt, Resource::kTagStates},
    {"history", std::nullopt, Resource::kHistory},
    {"usage", Resource::kUsage, Resource::kRepositoryUsage},
    {"collect", Resource::kCollect, std::nullopt},
    {"prune", Resource::kPrune, std::nullopt},
    {"events", Resource::kEvents, std::nullopt},
    {"revive", Resource::kRevive, std::nullopt},
    {"verify", Resource::kVerify, std::nullopt},
};

Result<std::optional<Place>> parse_extension(std::vector<std::string_view> parts) {
  if (parts.size() < 2) return std::nullopt;
  const auto row = std::ranges::find(kExtensionRows, parts[1], &ExtensionRow::name);
  if (row == std::end(kExtensionRows)) return std::nullopt;
  parts.erase(parts.begin(), parts.begin() + 2);
  if (parts.empty() && row->alone) return Place{.resource = *row->alone};
  if (parts.empty() || !row->with_repository) return std::nullopt;
  return named(*row->with_repository, parts, 0);
}

}  // namespace

Result<std::optional<Place>> parse_place(std::string_view path) {
  if (!path.starts_with(kRoot)) return std::nullopt;
  path.remove_prefix(kRoot.size());
  if (!path.empty() && path.front() != '/') return std::nullopt;
  const auto parts = parts_of(path);
  if (parts.empty()) return Place{};
  if (parts.size() == 1 && parts[0] == "_catalog") return Place{.resource = Resource::kCatalog};
  if (parts[0] == kExtension) return parse_extension(parts);
  if (ends_with(parts, {"_oci", "ext", "discover"})) {
    if (parts.size() == 3) return Place{.resource = Resource::kDiscover};
    return named(Resource::kDiscover, parts, 3);
  }
  if (parts.size() < 3) return std::nullopt;
  const std::string_view last = parts.back();
  const std::string_view before = parts[parts.size() - 2];
  if (before == "tags" && last == "list") return named(Resource::kTags, parts, 2);
  if (before == "manifests") return named(Resource::kManifest, parts, 2, last);
  if (before == "referrers") return named(Resource::kReferrers, parts, 2, last);
  if (before == "uploads" && parts.size() > 3 && parts[parts.size() - 3] == "blobs")
    return named(Resource::kUpload, parts, 3, last);
  if (before == "blobs")
    return last == "uploads" ? named(Resource::kUploads, parts, 2)
                             : named(Resource::kBlob, parts, 2, last);
  return std::nullopt;
}

}  // namespace berth::registryd
