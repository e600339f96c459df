#include "remote/registry.h"

#include <algorithm>

#include "oci/reference.h"
#include "remote/docker_config.h"
#include "remote/registry_core.h"

namespace berth::remote {
namespace {

Task<Result<http::Response>> send_through(http::Client& client, rt::Op& op, http::Request request,
                                          http::AddressPolicy policy) {
  co_return co_await client.handle_with(op, std::move(request), policy);
}

bool is_plain(const std::string& registry, const RegistryOptions& options) {
  const auto& hosts = options.plain_http_hosts;
  return options.insecure || oci::is_plain_http_host(registry) ||
         std::ranges::find(hosts, registry) != hosts.end();
}

// Docker Hub's API is not where its name says.
std::string api_host(const std::string& registry) {
  return registry == "docker.io" ? "registry-1.docker.io" : registry;
}

Result<http::Url> base_of(const std::string& registry, const RegistryOptions& options) {
  const std::string host = api_host(registry);
  auto url = http::parse_url((is_plain(registry, options) ? "http://" : "https://") + host);
  if (!url || url->path != "/" || !url->query.empty() ||
      host.find_first_of("/@?#") != std::string::npos) {
    return fail(Code::kInvalid, "\"{}\" is no registry; write a host name, with :port if need be",
                printable(registry, 200));
  }
  return std::move(*url);
}

Endpoint::Settings mirror_settings(http::Url base, const std::string& source) {
  return {.registry = base.authority(), .base = std::move(base), .source_registry = source};
}

}  // namespace

Send send_with(http::Client& client) {
  return [&client](rt::Op& op, http::Request request, http::AddressPolicy policy) {
    return send_through(client, op, std::move(request), policy);
  };
}

RegistryCore::RegistryCore(rt::Loop& loop, std::string name, http::Url base,
                           const RegistryOptions& options)
    : loop_(loop),
      name_(std::move(name)),
      options_(options),
      origin_(loop, {.registry = name_, .base = std::move(base), .source_registry = ""}, options_) {
}

Status RegistryCore::add_mirrors() {
  if (name_ != "docker.io") return {};
  for (const std::string& mirror : options_.mirrors) {
    const auto url = http::parse_url(mirror.contains("://") ? mirror : "https://" + mirror);
    if (!url || !url->query.empty()) {
      return fail(Code::kInvalid, "the mirror \"{}\" is no URL; write https://HOST[:PORT][/PATH]",
                  printable(mirror, 200));
    }
    mirrors_.push_back(std::make_unique<Endpoint>(loop_, mirror_settings(*url, name_), options_));
  }
  return {};
}

Task<Result<RegistryCore::Read>> RegistryCore::read(rt::Op& op, ReadCall wanted) {
  Call call{.doing = wanted.doing, .method = wanted.method, .url = {}, .headers = wanted.headers};
  call.repository = wanted.repository;
  call.scopes = ScopeSet::repository(wanted.repository, "pull");
  for (const auto& mirror : mirrors_) {
    Call once = call;
    once.url = mirror->url(wanted.path);
    once.tries = Tries::kOnce;
    auto answer = co_await mirror->send(op, std::move(once));
    CO_TRY_OK(op.check());
    if (answer && answer->status() / 100 == 2) co_return Read{mirror.get(), std::move(*answer)};
  }
  call.url = origin_.url(wanted.path);
  CO_TRY(Answer answer, co_await origin_.send(op, std::move(call)));
  co_return Read{&origin_, std::move(answer)};
}

Result<Registry> Registry::open(rt::Loop& loop, std::string_view registry,
                                RegistryOptions options) {
  BERTH_ASSERT(options.send != nullptr);
  const std::string name = canonical_registry(registry);
  TRY(http::Url base, base_of(name, options));
  auto core = std::make_shared<RegistryCore>(loop, name, std::move(base), options);
  TRY_OK(core->add_mirrors());
  return Registry(std::move(core));
}

Result<std::unique_ptr<Repository>> Registry::repository(std::string_view name) const {
  if (!oci::is_repository(name)) {
    return fail(Code::kInvalid,
                "\"{}\" is no repository name; write lower-case words joined by / . _ or -",
                printable(name, 200));
  }
  return std::make_unique<Repository>(core_, std::string(name));
}

Task<Result<Registry::Login>> Registry::check_login(rt::Op& op) const {
  Endpoint& endpoint = core_->origin();
  const std::string doing = "cannot log in to " + core_->name();
  CO_TRY(Answer answer, co_await endpoint.send(op, Call{.doing = doing, .url = endpoint.url("")}));
  if (answer.status() != 200)
    co_return std::unexpected(co_await endpoint.error(op, doing, std::move(answer)));
  co_return answer.authorized ? Login::kAccepted : Login::kNotAsked;
}

Result<Registry> Registries::registry(const std::string& host) {
  const std::string name = canonical_registry(host);
  if (const auto found = open_.find(name); found != open_.end()) return found->second;
  TRY(Registry opened, Registry::open(loop_, name, options_));
  return open_.emplace(name, std::move(opened)).first->second;
}

Result<std::unique_ptr<Repository>> Registries::repository(const oci::Reference& reference) {
  TRY(const Registry host, registry(reference.registry));
  return host.repository(reference.repository);
}

}  // namespace berth::remote
