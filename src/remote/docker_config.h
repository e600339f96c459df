// docker's config.json and podman's auth.json as a value: who keeps the credential of a registry,
// and which one it is. Edits keep unknown keys and the order of keys. Pure. Failure: kInvalid.
// Source: facts/oci.md A7.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "json/json.h"
#include "remote/credentials.h"

namespace berth::remote {

// What config files and helpers call a registry: itself, but "https://index.docker.io/v1/" for
// Docker Hub.
std::string server_key(std::string_view registry);
// "docker.io" for each name of Docker Hub; others in lower case.
std::string canonical_registry(std::string_view registry);

class DockerConfig {
 public:
  // `path` names the file in messages. Empty text is an empty config.
  static Result<DockerConfig> parse(std::string_view text, std::string path);

  // The helper (the NAME of docker-credential-NAME) that keeps this registry's credential.
  Result<std::optional<std::string>> helper(std::string_view registry) const;
  // The credential written in the file itself: the longest key that is a prefix of
  // registry/repository.
  Result<std::optional<Credential>> find(std::string_view registry,
                                         std::string_view repository) const;

  void set(std::string_view registry, const Credential& credential);
  // Docker marks registries whose credential a helper keeps by an empty entry.
  void set_empty(std::string_view registry);
  bool erase(std::string_view registry);
  std::string text() const;

 private:
  DockerConfig(json::Value root, std::string path)
      : root_(std::move(root)), path_(std::move(path)) {}
  json::Object& auths();
  const json::Object* section(std::string_view name) const;

  json::Value root_;
  std::string path_;
};

}  // namespace berth::remote
