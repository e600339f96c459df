#include "remote/scope.h"

#include <algorithm>

#include "base/text.h"

namespace berth::remote {
namespace {

constexpr std::size_t kMaxScopes = 16;
constexpr std::size_t kMaxScopeBytes = 512;

bool is_plain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f && c != '"'; });
}

std::string join(const std::set<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ",") + part;
  return text;
}

}  // namespace

ScopeSet ScopeSet::repository(std::string_view name, std::string_view actions) {
  ScopeSet scopes;
  for (std::string& action : split(actions, ',')) {
    scopes.actions_["repository:" + std::string(name)].insert(std::move(action));
  }
  return scopes;
}

void ScopeSet::add(const ScopeSet& other) {
  for (const auto& [resource, actions] : other.actions_)
    actions_[resource].insert(actions.begin(), actions.end());
}

void ScopeSet::add_text(std::string_view text) {
  for (const std::string& scope : split(text, ' ')) {
    // The name may hold a colon (a host's port), so the actions begin at the last one.
    const std::size_t colon = scope.rfind(':');
    if (colon == std::string::npos || scope.size() > kMaxScopeBytes || !is_plain(scope)) continue;
    const std::string resource = scope.substr(0, colon);
    if (!resource.contains(':')) continue;
    if (actions_.size() >= kMaxScopes && !actions_.contains(resource)) continue;
    for (std::string& action : split(scope.substr(colon + 1), ',')) {
      if (!action.empty()) actions_[resource].insert(std::move(action));
    }
  }
}

bool ScopeSet::covers(const ScopeSet& wanted) const {
  return std::ranges::all_of(wanted.actions_, [&](const auto& entry) {
    const auto found = actions_.find(entry.first);
    return found != actions_.end() && std::ranges::includes(found->second, entry.second);
  });
}

std::vector<std::string> ScopeSet::strings() const {
  std::vector<std::string> all;
  for (const auto& [resource, actions] : actions_) all.push_back(resource + ":" + join(actions));
  return all;
}

std::string ScopeSet::string() const {
  std::string text;
  for (const std::string& scope : strings()) text += (text.empty() ? "" : " ") + scope;
  return text;
}

}  // namespace berth::remote
