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

// A config and the helper that it names for a registry.
struct Loaded {
  DockerConfig config;
  std::optional<CredentialHelper> helper;
  std::string helper_name;
};
Result<Loaded> load_for(const std::string& path, const std::string& registry,
                        const std::string& helper_path) {
  TRY(DockerConfig config, load(path));
  TRY(const auto name, config.helper(registry));
  Loaded loaded{
      .config = std::move(config), .helper = std::nullopt, .helper_name = name.value_or("")};
  if (!name) return loaded;
  TRY(loaded.helper, CredentialHelper::find(*name, helper_path));
  return loaded;
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
  for (const std::string& path : files_.read) {
    CO_TRY_OK(op.check());
    CO_TRY(const Loaded loaded, co_await rt::blocking(loop_, [&] {
             return load_for(path, registry, files_.helper_path);
           }));
    if (loaded.helper) {
      CO_TRY(auto kept, co_await loaded.helper->get(op, loop_, server_key(registry)));
      if (kept) co_return kept;
    }
    CO_TRY(auto written, loaded.config.find(registry, repository));
    if (written) co_return written;
  }
  co_return std::nullopt;
}

Task<Result<CredentialStore::Stored>> CredentialStore::store(rt::Op& op, std::string registry,
                                                             Credential credential) {
  CO_TRY_OK(op.check());
  CO_TRY(Loaded loaded, co_await rt::blocking(loop_, [&] {
           return load_for(files_.write, registry, files_.helper_path);
         }));
  Stored stored{.kept = Kept::kPlainFile, .where = files_.write};
  if (loaded.helper) {
    CO_TRY_OK(co_await loaded.helper->store(op, loop_, server_key(registry), credential));
    loaded.config.set_empty(registry);
    stored = {.kept = Kept::kHelper, .where = "docker-credential-" + loaded.helper_name};
  } else {
    loaded.config.set(registry, credential);
  }
  CO_TRY_OK(co_await rt::blocking(loop_, [&] { return save(files_.write, loaded.config); }));
  co_return stored;
}

Task<Result<bool>> CredentialStore::erase(rt::Op& op, std::string registry) {
  CO_TRY_OK(op.check());
  CO_TRY(Loaded loaded, co_await rt::blocking(loop_, [&] {
           return load_for(files_.write, registry, files_.helper_path);
         }));
  bool erased = false;
  if (loaded.helper) {
    CO_TRY(erased, co_await loaded.helper->erase(op, loop_, server_key(registry)));
  }
  if (!loaded.config.erase(registry)) co_return erased;
  CO_TRY_OK(co_await rt::blocking(loop_, [&] { return save(files_.write, loaded.config); }));
  co_return true;
}

}  // namespace berth::remote
