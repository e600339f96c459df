// What only this machine can do: engines, credentials, folders.
#include <filesystem>

#include "content/copy.h"
#include "engine/install.h"
#include "fs/file.h"
#include "local/engine_image.h"
#include "local/file_reader.h"
#include "local/system.h"
#include "rt/async.h"

namespace berth::local {
namespace {

Status known_backend(std::string_view backend) {
  if (backend == "llama.cpp") return {};
  return fail(Code::kUnsupported, "the backend {} is not in this version; llama.cpp is",
              printable(backend, 80));
}

std::string login_host(const Shared& shared, const std::string& registry) {
  return registry.empty() ? shared.defaults.registry : registry;
}

}  // namespace

rt::Task<Result<std::string>> Machine::install_runner(rt::Op& op, control::InstallRequest request,
                                                      control::Events& events) {
  CO_TRY_OK(known_backend(request.backend));
  if (!request.from.empty()) {
    co_return co_await install_engine_image(op, shared_, request.from, events);
  }
  engine::InstallRequest install{.engines_dir = shared_.paths.engines};
  install.vulkan = shared_.settings.engine.gpu == config::Gpu::kVulkan;
  EventBridge bridge(events);
  const auto tell = [&bridge](std::string_view line) { bridge.message(printable(line, 400)); };
  CO_TRY(const engine::InstalledRunner installed,
         co_await engine::install_runner(op, shared_.loop, std::move(install), tell));
  co_return installed.version;
}

rt::Task<Result<bool>> Machine::uninstall_runner(rt::Op&, std::string backend) {
  CO_TRY_OK(known_backend(backend));
  const std::string engines = shared_.paths.engines;
  CO_TRY(const std::uint64_t freed, co_await rt::blocking(shared_.loop, [&] {
           return engine::uninstall_runner(engines, "");
         }));
  co_return freed > 0;
}

rt::Task<Result<std::vector<std::string>>> Machine::import_path(rt::Op& op,
                                                                control::ImportPath request,
                                                                control::Events& events) {
  std::error_code ignored;
  if (std::filesystem::is_directory(request.path, ignored)) {
    co_return co_await transfers_.import_folder(op, request.path, events);
  }
  CO_TRY(fs::File file, fs::open_user_file(request.path));
  FileReader stream(shared_.loop, std::move(file));
  co_return co_await transfers_.import_tar(op, stream, events);
}

rt::Task<Result<control::LoginResult>> Machine::login(rt::Op& op, control::LoginRequest request) {
  const std::string host = login_host(shared_, request.registry);
  remote::Credential credential{.user = request.user, .password = request.password};
  remote::FixedCredentials fixed(credential);
  remote::RegistryOptions options = registry_options(shared_.client, fixed, shared_.settings);
  CO_TRY(const remote::Registry registry,
         remote::Registry::open(shared_.loop, host, std::move(options)));
  CO_TRY(const auto accepted, co_await registry.check_login(op));
  (void)accepted;
  CO_TRY(const auto stored, co_await shared_.credentials.store(op, host, std::move(credential)));
  using Kept = remote::CredentialStore::Kept;
  co_return control::LoginResult{.plain = stored.kept == Kept::kPlainFile, .where = stored.where};
}

rt::Task<Result<bool>> Machine::logout(rt::Op& op, std::string registry) {
  co_return co_await shared_.credentials.erase(op, login_host(shared_, registry));
}

std::vector<control::Setting> Machine::settings() {
  std::vector<control::Setting> settings;
  for (const config::Origin& origin : shared_.origins) {
    settings.push_back({.key = origin.key, .value = origin.value, .source = origin.source});
  }
  return settings;
}

}  // namespace berth::local
