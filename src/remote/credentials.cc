#include "remote/credentials.h"

#include <climits>
#include <cstdlib>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/file.h"
#include "remote/credential_helper.h"
#include "remote/docker_config.h"
#include "rt/async.h"

namespace berth::remote {
namespace {

constexpr std::size_t kMaxConfigBytes = 1024 * 1024;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string home() {
  if (const std::string home = environment("HOME"); !home.empty()) return home;
  const passwd* user = ::getpwuid(::getuid());
  return user == nullptr ? "/" : user->pw_dir;
}

struct Place {
  std::string folder;
  std::string name;
};
Place split_path(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {path.substr(0, std::max<std::size_t>(slash, 1)), path.substr(slash + 1)};
}

// config.json is often a link into a repository of dotfiles: what it leads to is read and replaced,
// the link stays.
std::string resolved(const std::string& path) {
  std::string real(PATH_MAX, '\0');
  return ::realpath(path.c_str(), real.data()) == nullptr ? path : std::string(real.c_str());
}

Result<DockerConfig> load(const std::string& path) {
  const Place place = split_path(resolved(path));
  auto folder = fs::Dir::open(place.folder);
  if (!folder && folder.error().code() == Code::kNotFound) return DockerConfig::parse("", path);
  if (!folder) return std::unexpected(folder.error());
  auto text = folder->read_small(place.name, kMaxConfigBytes);
  if (!text && text.error().code() == Code::kNotFound) return DockerConfig::parse("", path);
  if (!text)
    return std::unexpected(
        std::move(text.error()).with_context("cannot read the logins in " + path));
  return DockerConfig::parse(*text, path);
}

Status save(const std::string& path, const DockerConfig& config) {
  const Place place = split_path(resolved(path));
  TRY(const fs::Dir folder, fs::Dir::create(place.folder));
  return folder.replace(place.name, config.text(), 0600);
}

Result<std::optional<Credential>> find_in(const std::string& path, const CredentialFiles& files,
                                          const std::string& registry,
                                          const std::string& repository) {
  TRY(const DockerConfig config, load(path));
  TRY(const auto helper_name, config.helper(registry));
  if (helper_name) {
    TRY(const CredentialHelper helper, CredentialHelper::find(*helper_name, files.helper_path));
    TRY(auto found, helper.get(server_key(registry)));
    if (found) return found;
  }
  return config.find(registry, repository);
}

Result<std::optional<Credential>> find_anywhere(const CredentialFiles& files,
                                                const std::string& registry,
                                                const std::string& repository) {
  for (const std::string& path : files.read) {
    TRY(auto found, find_in(path, files, registry, repository));
    if (found) return found;
  }
  return std::nullopt;
}

Result<CredentialStore::Stored> store_now(const CredentialFiles& files, const std::string& registry,
                                          const Credential& credential) {
  TRY(DockerConfig config, load(files.write));
  TRY(const auto helper_name, config.helper(registry));
  if (!helper_name) {
    config.set(registry, credential);
    TRY_OK(save(files.write, config));
    return CredentialStore::Stored{.kept = CredentialStore::Kept::kPlainFile, .where = files.write};
  }
  TRY(const CredentialHelper helper, CredentialHelper::find(*helper_name, files.helper_path));
  TRY_OK(helper.store(server_key(registry), credential));
  config.set_empty(registry);
  TRY_OK(save(files.write, config));
  return CredentialStore::Stored{.kept = CredentialStore::Kept::kHelper,
                                 .where = "docker-credential-" + *helper_name};
}

Result<bool> erase_now(const CredentialFiles& files, const std::string& registry) {
  TRY(DockerConfig config, load(files.write));
  TRY(const auto helper_name, config.helper(registry));
  bool erased = false;
  if (helper_name) {
    TRY(const CredentialHelper helper, CredentialHelper::find(*helper_name, files.helper_path));
    TRY(erased, helper.erase(server_key(registry)));
  }
  if (!config.erase(registry)) return erased;
  TRY_OK(save(files.write, config));
  return true;
}

}  // namespace

Task<Result<std::optional<Credential>>> FixedCredentials::find(rt::Op&, std::string, std::string) {
  co_return credential_;
}

CredentialFiles CredentialFiles::from_environment() {
  CredentialFiles files;
  const std::string docker = environment("DOCKER_CONFIG");
  files.write = (docker.empty() ? home() + "/.docker" : docker) + "/config.json";
  if (const std::string named = environment("REGISTRY_AUTH_FILE"); !named.empty())
    files.read.push_back(named);
  files.read.push_back(files.write);
  if (const std::string runtime = environment("XDG_RUNTIME_DIR"); !runtime.empty()) {
    files.read.push_back(runtime + "/containers/auth.json");
  }
  const std::string config = environment("XDG_CONFIG_HOME");
  files.read.push_back((config.empty() ? home() + "/.config" : config) + "/containers/auth.json");
  files.helper_path = environment("PATH");
  return files;
}

Task<Result<std::optional<Credential>>> CredentialStore::find(rt::Op& op, std::string registry,
                                                              std::string repository) {
  CO_TRY_OK(op.check());
  co_return co_await rt::blocking(loop_,
                                  [&] { return find_anywhere(files_, registry, repository); });
}

Task<Result<CredentialStore::Stored>> CredentialStore::store(rt::Op& op, std::string registry,
                                                             Credential credential) {
  CO_TRY_OK(op.check());
  co_return co_await rt::blocking(loop_, [&] { return store_now(files_, registry, credential); });
}

Task<Result<bool>> CredentialStore::erase(rt::Op& op, std::string registry) {
  CO_TRY_OK(op.check());
  co_return co_await rt::blocking(loop_, [&] { return erase_now(files_, registry); });
}

}  // namespace berth::remote
