// The settings of the program: defaults, then config.toml, then the environment (Berth's variables
// and Docker Model Runner's), then flags; each knows where it came from.
//
// Values; load() blocks (it reads a file). One table in settings.cc holds every setting: key (its
// path in config.toml), environment variables, bounds, sentence. Failure: kInvalid naming the file
// and line, the variable or the flag, and the bound; an unknown key is an error that names the
// nearest one.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/secret.h"
#include "config/paths.h"

namespace berth::config {

enum class Gpu { kAuto, kNone, kVulkan, kCuda, kRocm };

// What is said about one registry ([registry.host."NAME"]).
struct RegistryHost {
  std::vector<std::string> mirrors;  // URLs, asked in this order
  bool plain_http = false;
  std::uint64_t connections = 0;  // 0 = network.connections
  std::uint64_t limit_rate = 0;   // bytes a second; 0 = no limit of its own
  std::vector<std::pair<std::string, Secret>> headers;
  std::string ca_file;  // PEM files
  std::string client_certificate;
  std::string client_key;
};

// Who is told of a registry's events ([registry_server.webhook."NAME"]).
struct Webhook {
  std::string url;
  std::string format = "cloudevents";  // or distribution
  std::vector<std::string> events = {"push", "move", "delete"};
  std::vector<std::string> repositories;  // patterns; none: all
  std::vector<std::pair<std::string, Secret>> headers;
  Secret secret;                // signs requests; empty: none
  std::uint64_t attempts = 50;  // then an event is a dead letter
};

struct Settings {
  struct Server {
    std::string socket;                 // "" = the runtime folder's; "none" = no unix socket
    std::vector<std::string> listen;    // "[http[s]://]host:port"; port 0 takes a free one
    std::optional<std::uint16_t> port;  // MODEL_RUNNER_PORT: also 127.0.0.1:port
    bool tls = false;  // MODEL_RUNNER_TLS_ENABLED: also https on 127.0.0.1:tls_port
    std::uint16_t tls_port = 12444;
    std::string tls_certificate;  // PEM files, for https listeners
    std::string tls_key;
    bool require_token = false;             // on loopback as well
    std::vector<std::string> behind_proxy;  // CIDRs whose proxies do TLS and authentication
    bool insecure = false;                  // beyond loopback without TLS and token
    std::vector<std::string> hosts;         // further names for the Host check
    std::vector<std::string> origins;       // further web origins (DMR_ORIGINS)
    bool loopback_origins = true;
    std::uint64_t max_body =
        64u << 20;  // of inference and configuration requests; images are in them
    std::uint64_t connections = 512;
    std::chrono::milliseconds drain{10'000};
    bool registry = false;         // also serve registry_server's registry under /v2
    bool record_requests = false;  // keep the last prompts and answers in memory
  } server;

  // `berth registry serve`.
  struct RegistryServer {
    std::vector<std::string> listen;  // "[http[s]://]host:port"; empty = 127.0.0.1:5000
    std::string root;                 // "" = registry/ in the data folder
    std::string tls_certificate;      // PEM files, for https listeners
    std::string tls_key;
    std::string htpasswd;                   // file of users; "" = none
    bool tokens = false;                    // those of `berth token` are taken
    std::string ollama_keys;                // file: NAME ssh-ed25519 KEY
    std::vector<std::string> rules;         // "WHO ACTIONS REPOSITORIES"; none = users may do all
    bool anonymous_pull = false;            // with users: pulling needs none
    std::vector<std::string> behind_proxy;  // CIDRs whose proxies do TLS and authentication
    bool insecure = false;                  // beyond loopback without TLS and users
    std::vector<std::string> hosts;         // further names for the Host check
    std::uint64_t connections = 1024;
    std::uint64_t connections_per_client = 512;  // 0 = any; so are the next two
    std::uint64_t requests_per_client = 0;       // a second
    std::uint64_t uploads_per_client = 1024;     // in progress
    std::uint64_t max_manifest = 8u << 20;
    std::uint64_t disk_reserve = 256u << 20;  // bytes of the disk that stay free
    std::string check_models = "warn";  // off, warn, refuse: models that are not what they say
    std::chrono::milliseconds upload_expiry{24 * 3'600'000};
    std::chrono::milliseconds collect_every{3'600'000};  // 0 = never by itself
    std::chrono::milliseconds collect_grace{3'600'000};
    std::chrono::milliseconds verify_every{0};  // 0 = never by itself
    std::uint64_t verify_rate = 64u << 20;      // bytes a second; 0 = no limit
    std::chrono::milliseconds drain{10'000};
    std::chrono::milliseconds shutdown_delay{0};  // open but not ready, before that
    bool access_log = false;
    std::vector<std::string> quotas;          // "[each] REPOSITORIES SIZE"
    std::vector<std::string> retention;       // "REPOSITORIES CONDITION..."
    std::map<std::string, Webhook> webhooks;  // [registry_server.webhook."NAME"]
    std::vector<std::string> mirrors;         // "[PREFIX=]REGISTRY" (src/mirror/entry.h)
    std::chrono::milliseconds mirror_check{60'000};
  } registry_server;

  struct Store {
    std::string root;  // "" = the data folder's
  } store;

  struct Registry {
    std::string default_host = "docker.io";
    std::string organisation = "ai";
    bool plain_http = false;                    // INSECURE_REGISTRY: every registry without TLS
    std::vector<std::string> plain_http_hosts;  // these without TLS
    std::vector<std::string> mirrors;           // URLs, for Docker Hub pulls only
    std::vector<std::string> token_hosts;       // REGISTRY=HOST: also asked for its tokens
    std::string ca_file;                        // PEM, besides the system's
    std::uint64_t parallel = 8;                 // layers that move at once
    std::uint64_t max_manifest = 4u << 20;      // bytes of a manifest
    std::map<std::string, RegistryHost> hosts;  // [registry.host."NAME"]
  } registry;

  // How long a transfer waits, and how fast it may be.
  struct Network {
    std::chrono::milliseconds connect_timeout{10'000};
    std::chrono::milliseconds tls_timeout{10'000};
    std::chrono::milliseconds first_byte_timeout{30'000};
    std::chrono::milliseconds stall_timeout{15'000};
    std::chrono::milliseconds upload_stall_timeout{15'000};
    std::chrono::milliseconds retry_after{120'000};  // in all, of one host
    std::uint64_t connections = 16;                  // to one host at once, for pulls
    std::uint64_t limit_rate = 0;                    // bytes a second; 0 = no limit
  } network;

  struct Engine {
    std::string llama_server;  // the program or a folder that holds it; "" = look for it
    Gpu gpu = Gpu::kAuto;
    bool no_sandbox = false;
    std::optional<std::uint64_t> threads;
    std::optional<std::uint64_t> context_size;  // when neither the user nor the artifact says one
    std::uint64_t memory = 0;  // bytes that engines may take in all; 0 = what the machine has free
    std::uint64_t max_models = 8;  // loaded at once
    std::uint64_t parallel = 4;    // requests that one engine answers at once
    std::uint64_t queue = 64;      // requests that may wait for a model to load
    std::chrono::milliseconds queue_timeout{300'000};
    std::chrono::milliseconds load_timeout{300'000};
    std::chrono::milliseconds keep_alive{
        300'000};  // idle time before unloading; negative = for ever
  } engine;

  struct Log {
    std::string level = "warning";  // debug, info, warning, error, off
    std::string format = "human";   // human, json
  } log;

  // How this program reaches a server elsewhere.
  struct Client {
    std::string host;  // MODEL_RUNNER_HOST, --host
    bool tls = false;
    bool tls_skip_verify = false;
    std::string tls_ca_cert;
    Secret token;  // BERTH_TOKEN
  } client;

  struct Proxy {
    std::string http;
    std::string https;
    std::string exclude;
  } proxy;

  Secret hugging_face_token;  // HF_TOKEN
  bool do_not_track = false;  // accepted; Berth never reports anything
};

// Where one value came from; `value` is as config.toml would have it, "(set)" for a secret, "" for
// nothing.
struct Origin {
  std::string key;
  std::string value;
  std::string source;  // "default", "config.toml: PATH", "environment: NAME", "flag"
  std::string doc;
};

struct Inputs {
  Environment environment;
  std::string config_file;  // --config; "" = the default, which may be absent
  std::vector<std::pair<std::string, std::string>> flags;  // key -> value
};

struct Configuration {
  Settings settings;
  Paths paths;
  std::vector<Origin> origins;  // every key, in the table's order
};

Result<Configuration> load(const Inputs& inputs);

// One row of the table, for manuals and `berth settings --help`.
struct KeyInfo {
  std::string key;
  std::vector<std::string> environment;
  std::string doc;
  std::string default_value;
};
std::vector<KeyInfo> known_keys();

}  // namespace berth::config
