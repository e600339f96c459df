// The product's nouns as plain records: what the command line prints and the HTTP API sends,
// whoever does the work.
//
// Values only. Sizes are bytes, times are UTC. Every record has a JSON form in control/json.h; a
// field that has nothing to say is null there, never left out.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "json/json.h"

namespace berth::control {

using Time = std::chrono::sys_seconds;

// One model as DMR's API shows it. `config` is the flat Docker config object (format, quantization,
// parameters, architecture, size, gguf{}, safetensors{}, context_size), whatever the artifact's own
// form is.
struct Model {
  std::string id;                 // "sha256:…": the manifest's digest
  std::vector<std::string> tags;  // fully qualified, sorted
  Time created{};      // when it came into this store; of a remote model: its own created time
  std::string format;  // "gguf", "safetensors"
  std::string architecture;
  std::string parameters;    // "134.52M"
  std::string quantization;  // "Q4_1"
  std::optional<std::uint64_t> context_size;
  std::uint64_t size = 0;  // of all layers
  bool partial = false;    // some of its files were left out when it was pulled
  json::Object config;
};

struct ModelFile {
  std::string path;
  std::string role;  // "weights", "mmproj", "lora", "chat-template", "license", "config", …
  std::string media_type;
  std::string digest;
  std::uint64_t size = 0;
  std::map<std::string, std::string> annotations;
  bool left_out = false;  // not here: the model is partial
};

// Everything `inspect` shows: the model plus what DMR hides.
struct ModelDetail {
  Model model;
  std::string artifact;    // "docker.ai v0.1", "docker.ai v0.2", "ModelPack"
  std::string media_type;  // of the manifest
  std::string manifest_digest;
  std::string index_digest;  // "" unless the tag stands for an index
  std::string config_digest;
  std::map<std::string, std::string> annotations;
  std::vector<ModelFile> files;
  std::string raw_manifest;  // bytes as stored
};

// What a long operation tells as it goes. `layer` events carry a digest; `total` is over all layers
// that move.
struct Event {
  enum class Kind {
    kMessage,  // a line for people
    kWarning,
    kLayer,  // current of size bytes of one layer
    kLayerDone,
    kLayerExists,   // already there; nothing moves
    kLayerMounted,  // taken over from another repository of that registry
    kTotal,         // `size` is the sum that will move; sent when known, may grow
  } kind = Kind::kMessage;
  std::string message;
  std::string layer;  // digest
  std::string name;   // file name, when known
  std::uint64_t current = 0;
  std::uint64_t size = 0;
};

struct Events {
  virtual ~Events() = default;
  virtual void on(const Event& event) = 0;
};

struct PullRequest {
  std::string model;
  std::string bearer_token;      // forwarded for hf.co only
  std::string platform;          // "linux/amd64"; "" picks the host's
  std::uint64_t limit_rate = 0;  // bytes a second; 0 for no limit
  // Patterns (base/glob.h) for the files to take; all files when empty.
  std::vector<std::string> include;
};
struct PullResult {
  std::string reference;  // fully qualified, as stored
  std::string digest;     // what the reference stands for (an index or a manifest)
  std::string id;         // manifest
  std::uint64_t size = 0;
  std::uint64_t transferred = 0;
  bool cached = false;         // everything was here already
  std::uint64_t left_out = 0;  // files that are not here, as nobody asked for them
};

struct PushRequest {
  std::string model;
  std::string bearer_token;
  std::uint64_t limit_rate = 0;
};
struct PushResult {
  std::string reference;
  std::string digest;
  std::uint64_t size = 0;
  std::uint64_t transferred = 0;
};

// From one registry into another (or another repository), without a copy here.
struct TransferRequest {
  std::string source;
  std::string target;
  std::string platform;    // "": an index goes whole
  bool referrers = false;  // signatures and whatever else refers to it, too
};
struct TransferResult {
  std::string source;  // fully qualified
  std::string target;
  std::string digest;  // of what the target stands for now
  std::uint64_t transferred = 0;
  std::uint64_t mounted = 0;  // bytes that the registry took over by itself
  std::uint64_t referrers = 0;
};

// fsck.
struct CheckRequest {
  bool repair = false;
  bool read_data = false;  // every byte
};
struct CheckFinding {
  std::string kind;                 // "missing", "damaged", …
  std::string what;                 // a digest, a name or a path
  std::string message;              // one sentence
  std::vector<std::string> models;  // that need it
  bool harmless = false;            // left over; no model is less for it
  bool repaired = false;
};
struct CheckResult {
  std::vector<CheckFinding> findings;
  std::uint64_t blobs = 0;
  std::uint64_t bytes = 0;
  std::uint64_t read = 0;  // bytes whose digest was checked
  std::chrono::milliseconds took{};
};

enum class PackageFormat { kDocker, kModelPack };
struct PackageRequest {
  std::string target;  // reference
  std::string gguf;    // paths as the caller's process sees them; "" for none
  std::string safetensors_dir;
  std::string from;  // model here or in a registry
  std::string mmproj;
  std::vector<std::string> loras;
  std::string chat_template;
  std::vector<std::string> licenses;
  std::optional<std::uint64_t> context_size;
  std::map<std::string, std::string> annotations;
  PackageFormat format = PackageFormat::kDocker;
  bool push = false;            // straight from the files into the registry, no local copy
  bool link = false;            // hard link instead of a copy
  std::optional<Time> created;  // else SOURCE_DATE_EPOCH, else 1970
};
struct PackageResult {
  std::string reference;
  std::string digest;
  std::uint64_t size = 0;
  std::vector<std::pair<std::string, std::string>>
      ways;  // file -> "reflinked", "copied", "linked", "already here", "pushed"
};

struct Removed {
  std::string kind;  // "Untagged" or "Deleted"
  std::string what;  // tag or id
};
struct RemoveResult {
  std::vector<Removed> removed;
  std::uint64_t freed = 0;
};
struct PruneResult {
  bool dry_run = false;
  std::vector<std::string> blobs;    // digests
  std::vector<std::string> ingests;  // unfinished downloads
  std::uint64_t freed = 0;
};

struct RunningModel {
  std::string backend;  // "llama.cpp"
  std::string model;    // display name
  std::string mode;     // "completion", "embedding", "reranking"
  std::optional<Time> last_used;
  bool in_use = false;
  bool loading = false;
  std::optional<std::chrono::milliseconds> keep_alive;  // negative: for ever
  std::optional<Time> expires;
  std::string device;  // "CPU", "Vulkan0 (…)"
  std::optional<int> gpu_layers;
  std::optional<int> pid;
  std::optional<std::uint64_t> memory;  // resident bytes
};

struct UnloadRequest {
  bool all = false;
  std::string backend;
  std::vector<std::string> models;
};

// DMR's _configure body, typed.
struct Configuration {
  std::string model;
  std::string mode;  // "" = every mode
  std::optional<std::int64_t> context_size;
  std::vector<std::string> runtime_flags;
  std::string draft_model;
  std::optional<std::int64_t> draft_tokens;
  std::optional<double> draft_min_acceptance;
  std::optional<std::chrono::milliseconds> keep_alive;
  std::optional<std::int64_t> reasoning_budget;  // --think: -1, --think=false: 0
};
struct ConfigurationEntry {
  std::string backend;
  std::string model;
  std::string model_id;
  Configuration configuration;
};

// Sampling and shape of one answer; absent fields are the engine's defaults.
struct ChatOptions {
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<std::int64_t> max_tokens;
  std::optional<std::int64_t> seed;
  std::optional<std::uint64_t> context_size;
  std::string json_schema;  // a JSON schema document; "" for none
};
struct ChatRequest {
  std::string model;
  json::Array messages;  // OpenAI's message objects
  ChatOptions options;
  bool preload_only = false;  // load, answer nothing
  bool no_sandbox = false;    // local engine only
};
struct ChatStats {
  std::chrono::milliseconds load{};         // until the engine was ready
  std::chrono::milliseconds first_token{};  // from asking a ready engine
  std::chrono::milliseconds total{};
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
  double tokens_per_second = 0;
  std::string finish_reason;
  std::string device;
};
struct ChatSink {
  virtual ~ChatSink() = default;
  virtual void on_content(std::string_view text) = 0;
  virtual void on_reasoning(std::string_view text) = 0;
  virtual void on_status(std::string_view line) = 0;  // "loading …", one sentence
};

struct BackendStatus {
  std::string name;   // "llama.cpp"
  std::string state;  // "Running", "Error", "Not Installed", "Installing"
  std::string details;
};
struct StatusReport {
  bool running = false;                // a daemon answers
  std::string endpoint;                // where this caller reaches it, as a URL or a socket path
  std::vector<std::string> endpoints;  // everywhere it listens; empty: not told
  std::vector<BackendStatus> backends;
  std::vector<std::pair<std::string, std::string>>
      sandbox;        // what is in force: "namespaces" -> "on", …
  std::string store;  // root folder
};

struct DiskUsage {
  std::uint64_t models = 0;
  std::uint64_t engines = 0;
  std::uint64_t unfinished = 0;  // ingests
  std::uint64_t catalogue = 0;
  std::uint64_t reclaimable = 0;  // what prune would free
};

struct Setting {
  std::string key;
  std::string value;
  std::string source;  // "default", "config.toml: /path", "environment: NAME", "flag"
};

struct TokenInfo {
  std::string id;
  std::string name;
  std::vector<std::string> scopes;
  std::optional<Time> created;
  std::optional<Time> expires;
};

}  // namespace berth::control
