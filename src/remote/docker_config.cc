#include "remote/docker_config.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/text.h"

namespace berth::remote {
namespace {

constexpr std::string_view kHubKey = "https://index.docker.io/v1/";
constexpr std::string_view kIdentityUser = "<token>";

struct Key {
  std::string registry;  // canonical
  std::string path;      // podman: the repository prefix; "" otherwise
};

// Reads "host", "host/ns/repo" and "https://host/v1/". Other URLs (docker keeps OAuth state under
// https://index.docker.io/v1/access-token) are no registry.
std::optional<Key> parse_key(std::string_view key) {
  const std::size_t scheme = key.find("://");
  if (scheme != std::string_view::npos) key.remove_prefix(scheme + 3);
  const std::size_t slash = std::min(key.find('/'), key.size());
  const std::string_view path = key.substr(slash);
  Key parsed{.registry = canonical_registry(key.substr(0, slash)), .path = ""};
  if (scheme == std::string_view::npos) {
    parsed.path = path.empty() ? "" : std::string(path.substr(1));
    return parsed;
  }
  constexpr std::array<std::string_view, 6> kRoots = {"", "/", "/v1", "/v1/", "/v2", "/v2/"};
  return std::ranges::find(kRoots, path) != kRoots.end() ? std::optional(parsed) : std::nullopt;
}

bool is_path_prefix(std::string_view prefix, std::string_view path) {
  if (prefix.empty()) return true;
  return path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
}

// The most specific key for the registry, docker's own spelling first; end() when there is none.
json::Object::const_iterator best_key(const json::Object& object, std::string_view registry,
                                      std::string_view repository) {
  const std::string wanted = canonical_registry(registry);
  auto best = object.end();
  std::size_t best_rank = 0;
  for (auto entry = object.begin(); entry != object.end(); ++entry) {
    const auto key = parse_key(entry->key());
    if (!key || key->registry != wanted || !is_path_prefix(key->path, repository)) continue;
    const std::size_t rank = 2 * key->path.size() + (entry->key() == server_key(registry) ? 2 : 1);
    if (rank > best_rank) {
      best = entry;
      best_rank = rank;
    }
  }
  return best;
}

// docker writes some passwords padded with NUL.
std::string without_nul(std::string text) {
  while (text.ends_with('\0')) text.pop_back();
  return text;
}

Result<Credential> decode_auth(const std::string& encoded, std::string_view where) {
  const auto decoded = base64_decode(encoded);
  const std::size_t colon = decoded ? decoded->find(':') : std::string::npos;
  if (colon == std::string::npos) {
    return fail(Code::kInvalid, "{} is not base64 of user:password; log in again with: berth login",
                where);
  }
  Credential credential;
  credential.user = decoded->substr(0, colon);
  credential.password = Secret(without_nul(decoded->substr(colon + 1)));
  return credential;
}

Result<std::optional<Credential>> parse_entry(const json::View& entry) {
  if (entry.value().is_null()) return std::nullopt;
  TRY_OK(entry.object());
  Credential credential;
  TRY(const std::string auth, entry.string_or("auth", ""));
  if (!auth.empty()) {
    TRY(credential, decode_auth(auth, entry.path() + ".auth"));
  } else {
    TRY(credential.user, entry.string_or("username", ""));
    TRY(std::string password, entry.string_or("password", ""));
    credential.password = Secret(std::move(password));
  }
  TRY(std::string identity, entry.string_or("identitytoken", ""));
  TRY(std::string bearer, entry.string_or("registrytoken", ""));
  credential.identity_token = Secret(std::move(identity));
  credential.registry_token = Secret(std::move(bearer));
  if (credential.user == kIdentityUser && credential.identity_token.empty()) {
    credential.identity_token = std::exchange(credential.password, Secret());
  }
  const bool empty = credential.user.empty() && credential.password.empty() &&
                     credential.identity_token.empty() && credential.registry_token.empty();
  return empty ? std::nullopt : std::optional(std::move(credential));
}

}  // namespace

std::string canonical_registry(std::string_view registry) {
  const std::string host = to_lower(registry);
  const bool hub =
      host == "docker.io" || host == "index.docker.io" || host == "registry-1.docker.io";
  return hub ? "docker.io" : host;
}

std::string server_key(std::string_view registry) {
  const std::string canonical = canonical_registry(registry);
  return canonical == "docker.io" ? std::string(kHubKey) : canonical;
}

Result<DockerConfig> DockerConfig::parse(std::string_view text, std::string path) {
  if (trim(text).empty()) return DockerConfig(json::Object(), std::move(path));
  TRY(json::Value root, json::parse(text, path));
  if (!root.is_object())
    return fail(Code::kInvalid, "{} is not a JSON object; mend or remove it", path);
  for (const std::string_view name : {"auths", "credHelpers"}) {
    const json::Value* section = root.as_object().if_contains(name);
    if (section != nullptr && !section->is_object() && !section->is_null()) {
      return fail(Code::kInvalid, "{}: {} is not an object; mend or remove it", path, name);
    }
  }
  return DockerConfig(std::move(root), std::move(path));
}

const json::Object* DockerConfig::section(std::string_view name) const {
  const json::Value* found = root_.as_object().if_contains(name);
  return found == nullptr ? nullptr : found->if_object();
}

json::Object& DockerConfig::auths() {
  json::Value& auths = root_.as_object()["auths"];
  return auths.is_object() ? auths.as_object() : auths.emplace_object();
}

Result<std::optional<std::string>> DockerConfig::helper(std::string_view registry) const {
  if (const json::Object* helpers = section("credHelpers")) {
    const auto entry = best_key(*helpers, registry, "");
    if (entry != helpers->end()) {
      return json::View(entry->value(), path_ + ": credHelpers." + printable(entry->key()))
          .string();
    }
  }
  TRY(std::string store, json::View(root_, path_).string_or("credsStore", ""));
  return store.empty() ? std::nullopt : std::optional(std::move(store));
}

Result<std::optional<Credential>> DockerConfig::find(std::string_view registry,
                                                     std::string_view repository) const {
  const json::Object* auths = section("auths");
  if (auths == nullptr) return std::nullopt;
  const auto entry = best_key(*auths, registry, repository);
  if (entry == auths->end()) return std::nullopt;
  return parse_entry(json::View(entry->value(), path_ + ": auths." + printable(entry->key())));
}

void DockerConfig::set(std::string_view registry, const Credential& credential) {
  json::Object entry;
  const std::string pair = credential.user + ":" + credential.password.reveal();
  entry["auth"] = base64_encode(as_bytes(pair));
  if (!credential.identity_token.empty())
    entry["identitytoken"] = credential.identity_token.reveal();
  if (!credential.registry_token.empty())
    entry["registrytoken"] = credential.registry_token.reveal();
  auths()[server_key(registry)] = std::move(entry);
}

void DockerConfig::set_empty(std::string_view registry) {
  auths()[server_key(registry)] = json::Object();
}

bool DockerConfig::erase(std::string_view registry) {
  json::Value* found = root_.as_object().if_contains("auths");
  if (found == nullptr || !found->is_object()) return false;
  const std::string wanted = canonical_registry(registry);
  json::Object kept;
  for (auto& entry : found->as_object()) {
    const auto key = parse_key(entry.key());
    if (!key || key->registry != wanted || !key->path.empty())
      kept.insert_or_assign(entry.key(), entry.value());
  }
  const bool erased = kept.size() != found->as_object().size();
  *found = std::move(kept);
  return erased;
}

std::string DockerConfig::text() const { return json::pretty(root_); }

}  // namespace berth::remote
