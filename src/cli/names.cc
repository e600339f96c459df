#include "cli/names.h"

#include "base/text.h"

namespace berth::cli {

std::string familiar_name(const std::string& tag, const oci::ReferenceDefaults& defaults) {
  if (tag.starts_with("sha256:")) return short_id(tag);
  const auto reference = oci::parse_reference(tag, defaults);
  return reference ? reference->familiar(defaults) : tag;
}

std::string short_id(std::string_view id) {
  if (id.starts_with("sha256:")) id.remove_prefix(7);
  return std::string(id.substr(0, 12));
}

bool matches(const std::string& tag, const std::string& filter,
             const oci::ReferenceDefaults& defaults) {
  const auto have = oci::parse_reference(tag, defaults);
  const auto want = oci::parse_reference(filter, defaults);
  if (!have || !want) return tag == filter;
  if (have->repository_string() != want->repository_string()) return false;
  // A tag follows the last slash; the colon of a port does not.
  const std::size_t slash = filter.rfind('/');
  const bool tagged = filter.find(':', slash == std::string::npos ? 0 : slash) != std::string::npos;
  return !tagged || have->tag == want->tag;
}

bool id_matches(const std::string& id, const std::string& filter) {
  std::string_view hex = filter;
  if (hex.starts_with("sha256:")) hex.remove_prefix(7);
  if (hex.size() < 12 || !is_lower_hex(hex)) return false;
  return std::string_view(id).substr(std::min<std::size_t>(7, id.size())).starts_with(hex);
}

std::string registry_of(const std::string& model, const oci::ReferenceDefaults& defaults) {
  const auto reference = oci::parse_reference(model, defaults);
  return reference ? reference->registry : "";
}

std::string pinned(const std::string& reference, const std::string& digest) {
  if (reference.find('@') != std::string::npos || digest.empty()) return reference;
  return reference + "@" + digest;
}

}  // namespace berth::cli
