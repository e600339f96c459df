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
  const auto host = options.hosts.find(registry);
  if (host != options.hosts.end() && host->second.plain_http) return true;
  return options.insecure || oci::is_plain_http_host(registry) ||
         std::ranges::find(hosts, registry) != hosts.end();
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

const HostOptions& host_options(const std::string& registry, const RegistryOptions& options) {
  static const HostOptions none;
  const auto found = options.hosts.find(registry);
  return found == options.hosts.end() ? none : found->second;
}

std::size_t connections_of(const HostOptions& host, const RegistryOptions& options) {
  return host.connections == 0 ? options.connections : host.connections;
}

Throttles throttles_of(const HostOptions& host, const RegistryOptions& options) {
  Throttles all;
  if (options.throttle) all.push_back(options.throttle);
  if (host.limit_rate != 0)
    all.push_back(std::make_shared<Throttle>(host.limit_rate, options.retry));
  return all;
}

bool add_range(Call& call, const RegistryCore::ReadCall& wanted, Endpoint& endpoint) {
  if (wanted.range.empty() || !endpoint.quirks().ranges) return false;
  call.headers.set("Range", wanted.range);
  return true;
}

constexpr std::chrono::seconds kMirrorRest{60};

}  // namespace

std::string api_host(const std::string& registry) {
  return canonical_registry(registry) == "docker.io" ? "registry-1.docker.io" : registry;
}

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
      host_(host_options(name_, options)),
      throttles_(throttles_of(host_, options)),
      origin_(loop,
              {.registry = name_,
               .base = std::move(base),
               .source_registry = "",
               .headers = host_.headers,
               .throttles = throttles_,
               .connections = connections_of(host_, options_)},
              options_) {}

Status RegistryCore::add_mirrors() {
  std::vector<std::string> urls = host_.mirrors;
  if (name_ == "docker.io")
    urls.insert(urls.end(), options_.mirrors.begin(), options_.mirrors.end());
  for (const std::string& mirror : urls) {
    const auto url = http::parse_url(mirror.contains("://") ? mirror : "https://" + mirror);
    if (!url || !url->query.empty()) {
      return fail(Code::kInvalid, "the mirror \"{}\" is no URL; write https://HOST[:PORT][/PATH]",
                  printable(mirror, 200));
    }
    const std::string name = url->authority();
    Endpoint::Settings settings{.registry = name,
                                .base = *url,
                                .source_registry = name_,
                                .headers = host_options(name, options_).headers,
                                .throttles = throttles_,
                                .connections = connections_of(host_, options_)};
    mirrors_.push_back(
        {.endpoint = std::make_unique<Endpoint>(loop_, std::move(settings), options_)});
  }
  return {};
}

Task<Result<RegistryCore::Read>> RegistryCore::read(rt::Op& op, ReadCall wanted) {
  Call call{.doing = wanted.doing, .method = wanted.method, .url = {}, .headers = wanted.headers};
  call.repository = wanted.repository;
  call.scopes = ScopeSet::repository(wanted.repository, "pull");
  call.on_wait = wanted.on_wait;
  for (Mirror& mirror : mirrors_) {
    const auto now = now_by(options_.retry);
    if (now < mirror.rests_until || mirror.endpoint->pause().left().count() > 0) continue;
    Call once = call;
    once.url = mirror.endpoint->url(wanted.path);
    once.tries = Tries::kOnce;
    const bool ranged = add_range(once, wanted, *mirror.endpoint);
    auto answer = co_await mirror.endpoint->send(op, std::move(once));
    CO_TRY_OK(op.check());
    // A mirror that is down is not waited for again and again.
    if (!answer) mirror.rests_until = now_by(options_.retry) + kMirrorRest;
    if (answer && answer->status() / 100 == 2)
      co_return Read{mirror.endpoint.get(), std::move(*answer), ranged};
  }
  call.url = origin_.url(wanted.path);
  const bool ranged = add_range(call, wanted, origin_);
  CO_TRY(Answer answer, co_await origin_.send(op, std::move(call)));
  co_return Read{&origin_, std::move(answer), ranged};
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
