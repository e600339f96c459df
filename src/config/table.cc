#include "config/table.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/text.h"

namespace berth::config {
namespace {

struct Field {
  std::function<Status(Settings&, const Written&)> set;
  std::function<std::string(const Settings&)> show;
};

Result<std::string> one(const Written& written) {
  if (written.is_list || written.items.size() != 1)
    return fail(Code::kInvalid, "expected one value, not a list");
  return written.items.front();
}

// A Field from a parser of one text and a printer; `get` is `[](auto& s) -> auto& { return s.…; }`.
template <class Get, class Parse, class Print>
Field scalar(Get get, Parse parse, Print print) {
  return {[=](Settings& settings, const Written& written) -> Status {
            TRY(const std::string value, one(written));
            TRY(auto parsed, parse(value));
            get(settings) = std::move(parsed);
            return {};
          },
          [=](const Settings& settings) { return print(get(settings)); }};
}

template <class Get>
Field text(Get get) {
  return scalar(
      get, [](const std::string& value) -> Result<std::string> { return value; },
      [](const std::string& value) { return value; });
}

template <class Get>
Field secret(Get get) {
  return scalar(
      get, [](const std::string& value) -> Result<Secret> { return Secret(value); },
      [](const Secret& value) { return std::string(value.empty() ? "" : "(set)"); });
}

Result<bool> parse_switch(const std::string& value) {
  for (const std::string_view yes : {"true", "1", "yes", "on"}) {
    if (iequals(value, yes)) return true;
  }
  for (const std::string_view no : {"false", "0", "no", "off"}) {
    if (iequals(value, no)) return false;
  }
  return fail(Code::kInvalid, "expected true or false, not \"{}\"", printable(value, 60));
}

template <class Get>
Field on_off(Get get) {
  return scalar(get, parse_switch,
                [](bool value) { return std::string(value ? "true" : "false"); });
}

std::string show_number(std::uint64_t value) { return fmt::format("{}", value); }
template <class Number>
std::string show_number(const std::optional<Number>& value) {
  return value ? fmt::format("{}", *value) : "";
}

template <class Get>
Field count(Get get, std::uint64_t least, std::uint64_t most) {
  auto parse = [=](const std::string& value) -> Result<std::uint64_t> {
    const auto number = parse_u64(value);
    if (number && *number >= least && *number <= most) return *number;
    return fail(Code::kInvalid, "expected a whole number from {} to {}, not \"{}\"", least, most,
                printable(value, 60));
  };
  return scalar(get, parse, [](const auto& value) { return show_number(value); });
}

template <class Get>
Field size(Get get, std::uint64_t least, std::uint64_t most) {
  auto parse = [=](const std::string& value) -> Result<std::uint64_t> {
    const auto bytes = parse_size(value);
    if (bytes && *bytes >= least && *bytes <= most) return *bytes;
    return fail(Code::kInvalid, "expected a size like \"64MiB\" from {} to {} bytes, not \"{}\"",
                least, most, printable(value, 60));
  };
  return scalar(get, parse, [](std::uint64_t value) { return show_number(value); });
}

enum class Forever { kNo, kYes };

template <class Get>
Field duration(Get get, Forever forever) {
  auto parse = [=](const std::string& value) -> Result<std::chrono::milliseconds> {
    const auto parsed = parse_duration(value);
    if (parsed && *parsed <= std::chrono::hours(24 * 365) &&
        (parsed->count() >= 0 || forever == Forever::kYes)) {
      return *parsed;
    }
    return fail(Code::kInvalid, "expected a duration like \"5m\" or \"90s\"{}, not \"{}\"",
                forever == Forever::kYes ? " (\"-1\" for ever)" : "", printable(value, 60));
  };
  return scalar(get, parse, [](std::chrono::milliseconds value) {
    if (value.count() < 0) return std::string("-1");
    if (value.count() % 1000 == 0) return fmt::format("{}s", value.count() / 1000);
    return fmt::format("{}ms", value.count());
  });
}

template <class Get>
Field choice(Get get, std::vector<std::string> words) {
  auto parse = [words](const std::string& value) -> Result<std::string> {
    if (std::ranges::find(words, value) != words.end()) return value;
    return fail(Code::kInvalid, "expected one of {}, not \"{}\"", fmt::join(words, ", "),
                printable(value, 60));
  };
  return scalar(get, parse, [](const std::string& value) { return value; });
}

template <class Get>
Field gpu(Get get) {
  static const std::vector<std::string> words = {"auto", "none", "vulkan", "cuda", "rocm"};
  auto parse = [](const std::string& value) -> Result<Gpu> {
    const auto found = std::ranges::find(words, value);
    if (found != words.end()) return static_cast<Gpu>(found - words.begin());
    return fail(Code::kInvalid, "expected one of {}, not \"{}\"", fmt::join(words, ", "),
                printable(value, 60));
  };
  return scalar(get, parse, [](Gpu value) { return words[static_cast<std::size_t>(value)]; });
}

template <class Get>
Field list(Get get) {
  return {
      [=](Settings& settings, const Written& written) -> Status {
        std::vector<std::string> items;
        for (const std::string& item : written.items) {
          for (const std::string& part : written.is_list ? std::vector{item} : split(item, ',')) {
            if (const std::string_view word = trim(part); !word.empty()) items.emplace_back(word);
          }
        }
        get(settings) = std::move(items);
        return {};
      },
      [=](const Settings& settings) { return fmt::format("{}", fmt::join(get(settings), ",")); }};
}

// A list whose items have commas; as one text they are separated by ";".
template <class Get>
Field rules(Get get) {
  return {
      [=](Settings& settings, const Written& written) -> Status {
        std::vector<std::string> items;
        for (const std::string& item : written.items) {
          for (const std::string& part : written.is_list ? std::vector{item} : split(item, ';')) {
            if (const std::string_view rule = trim(part); !rule.empty()) items.emplace_back(rule);
          }
        }
        get(settings) = std::move(items);
        return {};
      },
      [=](const Settings& settings) { return fmt::format("{}", fmt::join(get(settings), ";")); }};
}

// Every setting may also be given as BERTH_ and its path in capitals.
std::string own_variable(std::string_view path) {
  std::string name = "BERTH_";
  for (const char c : path)
    name.push_back(c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  return name;
}

Key key(std::string path, std::vector<std::string> foreign, std::string doc, Field field) {
  std::vector<std::string> environment = {own_variable(path)};
  environment.insert(environment.end(), foreign.begin(), foreign.end());
  return {std::move(path), std::move(environment), std::move(doc), std::move(field.set),
          std::move(field.show)};
}

constexpr std::uint64_t kAnyBytes = std::uint64_t{1} << 60;

#define BERTH_MEMBER(member) [](auto& s) -> auto& { return s.member; }

void add_server(std::vector<Key>& keys) {
  keys.push_back(key("server.socket", {"MODEL_RUNNER_SOCK"},
                     "unix socket of the daemon; \"none\" for no socket",
                     text(BERTH_MEMBER(server.socket))));
  keys.push_back(key("server.listen", {"BERTH_LISTEN"},
                     "TCP addresses to listen on, as host:port or https://host:port",
                     list(BERTH_MEMBER(server.listen))));
  keys.push_back(key("server.port", {"MODEL_RUNNER_PORT"}, "also listen on this port of 127.0.0.1",
                     count(BERTH_MEMBER(server.port), 0, 65535)));
  keys.push_back(key("server.tls", {"MODEL_RUNNER_TLS_ENABLED"},
                     "also listen with TLS on server.tls_port of 127.0.0.1",
                     on_off(BERTH_MEMBER(server.tls))));
  keys.push_back(key("server.tls_port", {"MODEL_RUNNER_TLS_PORT"}, "port for server.tls",
                     count(BERTH_MEMBER(server.tls_port), 0, 65535)));
  keys.push_back(key("server.tls_certificate", {"MODEL_RUNNER_TLS_CERT"},
                     "PEM file of the certificate chain",
                     text(BERTH_MEMBER(server.tls_certificate))));
  keys.push_back(key("server.tls_key", {"MODEL_RUNNER_TLS_KEY"}, "PEM file of the private key",
                     text(BERTH_MEMBER(server.tls_key))));
  keys.push_back(key("server.require_token", {}, "ask for a token on loopback as well",
                     on_off(BERTH_MEMBER(server.require_token))));
  keys.push_back(key("server.behind_proxy", {},
                     "networks (CIDR) of proxies that do TLS and authentication",
                     list(BERTH_MEMBER(server.behind_proxy))));
  keys.push_back(key("server.insecure", {},
                     "allow listening beyond loopback without TLS and tokens",
                     on_off(BERTH_MEMBER(server.insecure))));
  keys.push_back(key("server.hosts", {}, "further names that clients may call this server by",
                     list(BERTH_MEMBER(server.hosts))));
  keys.push_back(key("server.origins", {"DMR_ORIGINS"},
                     "further web origins that may call this server",
                     list(BERTH_MEMBER(server.origins))));
  keys.push_back(key("server.loopback_origins", {},
                     "let web pages of this machine call this server",
                     on_off(BERTH_MEMBER(server.loopback_origins))));
  keys.push_back(key("server.max_body", {}, "largest body of an inference request",
                     size(BERTH_MEMBER(server.max_body), 1024, std::uint64_t{1} << 32)));
  keys.push_back(key("server.connections", {}, "connections served at once",
                     count(BERTH_MEMBER(server.connections), 1, 65536)));
  keys.push_back(key("server.drain", {}, "time that requests have to finish at the end",
                     duration(BERTH_MEMBER(server.drain), Forever::kNo)));
  keys.push_back(key("server.registry", {},
                     "serve the registry of registry_server as well, under /v2",
                     on_off(BERTH_MEMBER(server.registry))));
  keys.push_back(key("server.record_requests", {},
                     "keep the last prompts and answers of each model in memory",
                     on_off(BERTH_MEMBER(server.record_requests))));
}

void add_registry_server(std::vector<Key>& keys) {
  keys.push_back(key("registry_server.listen", {},
                     "addresses of `registry serve`, as host:port or https://host:port",
                     list(BERTH_MEMBER(registry_server.listen))));
  keys.push_back(key("registry_server.root", {}, "folder of the registry",
                     text(BERTH_MEMBER(registry_server.root))));
  keys.push_back(key("registry_server.tls_certificate", {}, "PEM file of the certificate chain",
                     text(BERTH_MEMBER(registry_server.tls_certificate))));
  keys.push_back(key("registry_server.tls_key", {}, "PEM file of the private key",
                     text(BERTH_MEMBER(registry_server.tls_key))));
  keys.push_back(key("registry_server.htpasswd", {},
                     "file of users and their passwords (htpasswd -B, or argon2id)",
                     text(BERTH_MEMBER(registry_server.htpasswd))));
  keys.push_back(key("registry_server.tokens", {},
                     "take the tokens of `berth token create`, as passwords and as Bearer",
                     on_off(BERTH_MEMBER(registry_server.tokens))));
  keys.push_back(key("registry_server.ollama_keys", {},
                     "file of the keys that Ollama users sign with: NAME ssh-ed25519 KEY",
                     text(BERTH_MEMBER(registry_server.ollama_keys))));
  keys.push_back(key("registry_server.rules", {},
                     "who may do what: \"alice pull,push team/**\"; none: users may do everything",
                     rules(BERTH_MEMBER(registry_server.rules))));
  keys.push_back(key("registry_server.anonymous_pull", {}, "pulling needs no user",
                     on_off(BERTH_MEMBER(registry_server.anonymous_pull))));
  keys.push_back(key("registry_server.behind_proxy", {},
                     "networks (CIDR) of proxies that do TLS and authentication",
                     list(BERTH_MEMBER(registry_server.behind_proxy))));
  keys.push_back(key("registry_server.insecure", {},
                     "allow listening beyond loopback without TLS and users",
                     on_off(BERTH_MEMBER(registry_server.insecure))));
  keys.push_back(key("registry_server.hosts", {},
                     "further names that clients may call the registry by",
                     list(BERTH_MEMBER(registry_server.hosts))));
  keys.push_back(key("registry_server.connections", {}, "connections served at once",
                     count(BERTH_MEMBER(registry_server.connections), 1, 65536)));
  keys.push_back(key("registry_server.connections_per_client", {},
                     "of them from one address (or IPv6 /64); 0: any number",
                     count(BERTH_MEMBER(registry_server.connections_per_client), 0, 65536)));
  keys.push_back(key("registry_server.requests_per_client", {},
                     "requests a second of one user or address, with a burst; 0: any number",
                     count(BERTH_MEMBER(registry_server.requests_per_client), 0, 1'000'000)));
  keys.push_back(key("registry_server.uploads_per_client", {},
                     "uploads in progress of one user or address; 0: any number",
                     count(BERTH_MEMBER(registry_server.uploads_per_client), 0, 10'000)));
  keys.push_back(key("registry_server.max_manifest", {}, "largest manifest that may be pushed",
                     size(BERTH_MEMBER(registry_server.max_manifest), 4u << 20, 64u << 20)));
  keys.push_back(key("registry_server.disk_reserve", {},
                     "bytes of its disk that the registry leaves free",
                     size(BERTH_MEMBER(registry_server.disk_reserve), 0, kAnyBytes)));
  keys.push_back(
      key("registry_server.check_models", {},
          "a pushed model whose files are not what they say: off, warn or refuse",
          choice(BERTH_MEMBER(registry_server.check_models), {"off", "warn", "refuse"})));
  keys.push_back(key("registry_server.upload_expiry", {},
                     "after this an unfinished upload that nobody goes on with is removed",
                     duration(BERTH_MEMBER(registry_server.upload_expiry), Forever::kNo)));
  keys.push_back(key("registry_server.collect_every", {},
                     "how often what nobody needs is freed; 0 for never",
                     duration(BERTH_MEMBER(registry_server.collect_every), Forever::kNo)));
  keys.push_back(key("registry_server.collect_grace", {},
                     "how long a blob that no manifest names is kept",
                     duration(BERTH_MEMBER(registry_server.collect_grace), Forever::kNo)));
  keys.push_back(key("registry_server.verify_every", {},
                     "how often all that is stored is read and compared with its digests; 0 for "
                     "never by itself",
                     duration(BERTH_MEMBER(registry_server.verify_every), Forever::kNo)));
  keys.push_back(key("registry_server.verify_rate", {},
                     "bytes a second that are read for it; 0 for no limit",
                     size(BERTH_MEMBER(registry_server.verify_rate), 0, kAnyBytes)));
  keys.push_back(
      key("registry_server.quotas", {},
          "how many bytes repositories may hold: \"team/** 500GiB\", \"each ci/** 20GiB\"",
          list(BERTH_MEMBER(registry_server.quotas))));
  keys.push_back(key("registry_server.retention", {},
                     "what goes by itself: \"ci/** tags=pr-* keep=20 older=30d\"",
                     rules(BERTH_MEMBER(registry_server.retention))));
  keys.push_back(key("registry_server.drain", {}, "time that requests have to finish at the end",
                     duration(BERTH_MEMBER(registry_server.drain), Forever::kNo)));
  keys.push_back(key("registry_server.shutdown_delay", {},
                     "before that: time that it still serves, with /readyz 503",
                     duration(BERTH_MEMBER(registry_server.shutdown_delay), Forever::kNo)));
  keys.push_back(key("registry_server.access_log", {}, "a line on stderr for each request",
                     on_off(BERTH_MEMBER(registry_server.access_log))));
  keys.push_back(key("registry_server.mirrors", {},
                     "registries to be a proxy cache of, as REGISTRY or PREFIX=REGISTRY",
                     list(BERTH_MEMBER(registry_server.mirrors))));
  keys.push_back(key("registry_server.mirror_check", {},
                     "how old the answer may be to what a tag of a mirror stands for",
                     duration(BERTH_MEMBER(registry_server.mirror_check), Forever::kNo)));
}

void add_content(std::vector<Key>& keys) {
  keys.push_back(key("store.root", {"MODELS_PATH"}, "folder of the local store",
                     text(BERTH_MEMBER(store.root))));
  keys.push_back(key("registry.default_host", {"DEFAULT_REGISTRY"},
                     "registry of names that have none",
                     text(BERTH_MEMBER(registry.default_host))));
  keys.push_back(key("registry.organisation", {}, "organisation of names that have none",
                     text(BERTH_MEMBER(registry.organisation))));
  keys.push_back(key("registry.plain_http", {"INSECURE_REGISTRY"},
                     "speak to every registry without TLS",
                     on_off(BERTH_MEMBER(registry.plain_http))));
  keys.push_back(key("registry.plain_http_hosts", {}, "registries to speak to without TLS",
                     list(BERTH_MEMBER(registry.plain_http_hosts))));
  keys.push_back(key("registry.mirrors", {"MODEL_RUNNER_REGISTRY_MIRRORS"},
                     "mirrors of Docker Hub, as URLs", list(BERTH_MEMBER(registry.mirrors))));
  keys.push_back(key("registry.token_hosts", {},
                     "REGISTRY=HOST: a host besides its own that a registry's logins may go to",
                     list(BERTH_MEMBER(registry.token_hosts))));
  keys.push_back(key("registry.ca_file", {}, "PEM file of further authorities for registries",
                     text(BERTH_MEMBER(registry.ca_file))));
  keys.push_back(key("registry.parallel", {}, "layers that move at once",
                     count(BERTH_MEMBER(registry.parallel), 1, 64)));
  keys.push_back(key("registry.max_manifest", {}, "largest manifest that is read",
                     size(BERTH_MEMBER(registry.max_manifest), 64u << 10, 64u << 20)));
}

void add_network(std::vector<Key>& keys) {
  keys.push_back(key("network.connect_timeout", {}, "how long a connection may take",
                     duration(BERTH_MEMBER(network.connect_timeout), Forever::kNo)));
  keys.push_back(key("network.tls_timeout", {}, "how long TLS may take after that",
                     duration(BERTH_MEMBER(network.tls_timeout), Forever::kNo)));
  keys.push_back(key("network.first_byte_timeout", {}, "how long an answer may take to begin",
                     duration(BERTH_MEMBER(network.first_byte_timeout), Forever::kNo)));
  keys.push_back(key("network.stall_timeout", {}, "how long a download may stand still",
                     duration(BERTH_MEMBER(network.stall_timeout), Forever::kNo)));
  keys.push_back(key("network.upload_stall_timeout", {}, "how long an upload may stand still",
                     duration(BERTH_MEMBER(network.upload_stall_timeout), Forever::kNo)));
  keys.push_back(key("network.retry_after", {},
                     "how long in all one host may tell a transfer to wait",
                     duration(BERTH_MEMBER(network.retry_after), Forever::kNo)));
  keys.push_back(key("network.connections", {}, "connections to one registry at once, for pulls",
                     count(BERTH_MEMBER(network.connections), 1, 64)));
  keys.push_back(key("network.limit_rate", {},
                     "bytes a second that all transfers together may take; 0 for no limit",
                     size(BERTH_MEMBER(network.limit_rate), 0, kAnyBytes)));
}

void add_engine(std::vector<Key>& keys) {
  keys.push_back(key("engine.llama_server", {"LLAMA_SERVER_PATH"},
                     "llama-server, or the folder that holds it",
                     text(BERTH_MEMBER(engine.llama_server))));
  keys.push_back(
      key("engine.gpu", {}, "auto, none, vulkan, cuda or rocm", gpu(BERTH_MEMBER(engine.gpu))));
  keys.push_back(key("engine.no_sandbox", {}, "run engines without the sandbox",
                     on_off(BERTH_MEMBER(engine.no_sandbox))));
  keys.push_back(key("engine.threads", {}, "threads of one engine",
                     count(BERTH_MEMBER(engine.threads), 1, 1024)));
  keys.push_back(key("engine.context_size", {},
                     "context size when neither user nor artifact names one",
                     count(BERTH_MEMBER(engine.context_size), 1, std::uint64_t{1} << 31)));
  keys.push_back(key("engine.memory", {}, "bytes that engines may take in all; 0 for what is free",
                     size(BERTH_MEMBER(engine.memory), 0, kAnyBytes)));
  keys.push_back(key("engine.max_models", {}, "models loaded at once",
                     count(BERTH_MEMBER(engine.max_models), 1, 1024)));
  keys.push_back(key("engine.parallel", {}, "requests that one engine answers at once",
                     count(BERTH_MEMBER(engine.parallel), 1, 256)));
  keys.push_back(key("engine.queue", {}, "requests that may wait for a model to load",
                     count(BERTH_MEMBER(engine.queue), 0, 65536)));
  keys.push_back(key("engine.queue_timeout", {}, "how long a request waits for its model",
                     duration(BERTH_MEMBER(engine.queue_timeout), Forever::kNo)));
  keys.push_back(key("engine.load_timeout", {}, "how long a model may take to load",
                     duration(BERTH_MEMBER(engine.load_timeout), Forever::kNo)));
  keys.push_back(key("engine.keep_alive", {}, "idle time after which a model is unloaded",
                     duration(BERTH_MEMBER(engine.keep_alive), Forever::kYes)));
}

void add_rest(std::vector<Key>& keys) {
  keys.push_back(
      key("log.level", {}, "debug, info, warning, error or off",
          choice(BERTH_MEMBER(log.level), {"debug", "info", "warning", "error", "off"})));
  keys.push_back(
      key("log.format", {}, "human or json", choice(BERTH_MEMBER(log.format), {"human", "json"})));
  keys.push_back(key("client.host", {"BERTH_HOST", "MODEL_RUNNER_HOST"},
                     "server that commands go to", text(BERTH_MEMBER(client.host))));
  keys.push_back(key("client.tls", {"MODEL_RUNNER_TLS"}, "https when client.host has no scheme",
                     on_off(BERTH_MEMBER(client.tls))));
  keys.push_back(key("client.tls_skip_verify", {"MODEL_RUNNER_TLS_SKIP_VERIFY"},
                     "do not check the server's certificate",
                     on_off(BERTH_MEMBER(client.tls_skip_verify))));
  keys.push_back(key("client.tls_ca_cert", {"MODEL_RUNNER_TLS_CA_CERT"},
                     "PEM file of the authority of client.host",
                     text(BERTH_MEMBER(client.tls_ca_cert))));
  keys.push_back(key("client.token", {"BERTH_TOKEN"}, "token for client.host",
                     secret(BERTH_MEMBER(client.token))));
  // http_proxy in capitals is not read: a CGI server sets it from a request header.
  keys.push_back(key("proxy.http", {"http_proxy", "all_proxy", "ALL_PROXY"}, "proxy for http",
                     text(BERTH_MEMBER(proxy.http))));
  keys.push_back(key("proxy.https", {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"},
                     "proxy for https", text(BERTH_MEMBER(proxy.https))));
  keys.push_back(key("proxy.exclude", {"no_proxy", "NO_PROXY"},
                     "hosts that are reached without a proxy", text(BERTH_MEMBER(proxy.exclude))));
  keys.push_back(key("hugging_face_token", {"HF_TOKEN"}, "token for hf.co",
                     secret(BERTH_MEMBER(hugging_face_token))));
  keys.push_back(key("do_not_track", {"DO_NOT_TRACK"},
                     "accepted for Docker Model Runner's sake: Berth never reports",
                     on_off(BERTH_MEMBER(do_not_track))));
}

#undef BERTH_MEMBER

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row[b.size()];
}

}  // namespace

const std::vector<Key>& table() {
  static const std::vector<Key> keys = [] {
    std::vector<Key> made;
    add_server(made);
    add_registry_server(made);
    add_content(made);
    add_network(made);
    add_engine(made);
    add_rest(made);
    return made;
  }();
  return keys;
}

const Key* find_key(std::string_view path) {
  const auto found = std::ranges::find(table(), path, &Key::path);
  return found == table().end() ? nullptr : &*found;
}

std::string nearest_key(std::string_view path) {
  path = path.substr(0, 128);
  std::string best;
  std::size_t least = std::numeric_limits<std::size_t>::max();
  for (const Key& key : table()) {
    const std::size_t distance = edit_distance(path, key.path);
    if (distance < least) {
      least = distance;
      best = key.path;
    }
  }
  return best;
}

}  // namespace berth::config
