// What a registry of Berth's tells of its models: asked over its API (/v2/_berth), wherever it
// runs.
//
// Loop thread. `registry` is a host ("127.0.0.1:5000"). Text comes from the registry and is not
// printable yet. Failures besides those of the registry: kUnsupported when it is none of Berth's.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "control/records.h"
#include "json/json.h"
#include "rt/op.h"
#include "rt/task.h"

namespace berth::control {

// "" and 0: not known.
struct RegistryModel {
  std::string repository;
  std::string digest;
  std::vector<std::string> tags;
  Time pushed{};
  std::string name;
  std::string format;
  std::string architecture;
  std::string quantization;
  std::string license;
  std::uint64_t parameters = 0;
  std::uint64_t context_length = 0;
  std::uint64_t size = 0;
  std::vector<std::string> findings;  // what is wrong with it
};

struct RegistryTag {
  std::string tag;
  std::string digest;
  Time moved{};
};

struct RegistryMove {
  std::string tag;
  std::string before;  // digests; "" for none
  std::string after;
  Time at{};
  std::string actor;  // "" when the registry does not say
};

struct RegistryUsage {
  std::string name;  // a repository, or a digest in one
  std::vector<std::string> tags;
  std::uint64_t bytes = 0;
  std::uint64_t shared = 0;  // of these, what others need as well
};

struct RegistryCollection {
  bool dry_run = false;
  std::uint64_t blobs = 0;
  std::uint64_t bytes = 0;
};

// A tag or a manifest that retention rules take away.
struct RegistryPruned {
  std::string repository;
  std::string tag;  // "" for a manifest without one
  std::string digest;
  std::string why;
};
struct RegistryPruning {
  std::vector<std::string> rules;  // none: the registry's own
  bool dry_run = false;
};

// A blob or manifest that is not what it was when it came.
struct RegistryDamage {
  struct Hurt {
    std::string repository;
    std::vector<std::string> tags;
  };
  std::string digest;
  std::uint64_t size = 0;
  std::string fault;  // "damaged", "missing", "unreadable"
  std::vector<Hurt> repositories;
};
// A pass over what a registry has stored, as far as it is.
struct RegistryVerification {
  std::uint64_t pass = 0;  // its number
  bool running = false;
  std::uint64_t blobs = 0;
  std::uint64_t bytes = 0;
  std::uint64_t checked = 0;
  std::uint64_t checked_bytes = 0;
  std::uint64_t damaged = 0;
  std::vector<RegistryDamage> damages;  // the first ones
};

// An event that an endpoint did not take in all its attempts.
struct RegistryDeadLetter {
  std::string endpoint;
  std::string event;
  std::string repository;
  std::string tag;
  std::string digest;
  Time at{};
  std::uint64_t attempts = 0;
  std::string fault;
};
struct RegistryEndpoint {
  std::string name;
  std::uint64_t waiting = 0;
  std::uint64_t dead = 0;
};
struct RegistryEvents {
  std::vector<RegistryEndpoint> endpoints;
  std::vector<RegistryDeadLetter> dead_letters;
};

struct RegistryQuery {
  std::string repository;  // only this one
  // What the registry's search takes: {"architecture", "llama"}, {"min_parameters", "7000000000"}.
  std::vector<std::pair<std::string, std::string>> conditions;
};

struct RegistryView {
  virtual ~RegistryView() = default;
  virtual rt::Task<Result<std::vector<RegistryModel>>> models(rt::Op& op, std::string registry,
                                                              RegistryQuery query) = 0;
  virtual rt::Task<Result<std::vector<RegistryTag>>> tags(rt::Op& op, std::string registry,
                                                          std::string repository) = 0;
  // Newest first; of all tags when `tag` is empty.
  virtual rt::Task<Result<std::vector<RegistryMove>>> history(rt::Op& op, std::string registry,
                                                              std::string repository,
                                                              std::string tag) = 0;
  // Of all repositories, or of the manifests of one.
  virtual rt::Task<Result<std::vector<RegistryUsage>>> usage(rt::Op& op, std::string registry,
                                                             std::string repository) = 0;
  virtual rt::Task<Result<RegistryCollection>> collect(rt::Op& op, std::string registry,
                                                       bool dry_run) = 0;
  virtual rt::Task<Result<std::vector<RegistryPruned>>> prune(rt::Op& op, std::string registry,
                                                              RegistryPruning pruning) = 0;
  // Has it read all that a repository shows ("" for everything), or joins who asked for the same,
  // and waits for the end. The registry goes on when the Op does not.
  virtual rt::Task<Result<RegistryVerification>> verify(rt::Op& op, std::string registry,
                                                        std::string repository,
                                                        Events& progress) = 0;
  virtual rt::Task<Result<RegistryEvents>> events(rt::Op& op, std::string registry) = 0;
  // Puts dead letters back into the queue of an endpoint ("" for all); how many.
  virtual rt::Task<Result<std::uint64_t>> revive(rt::Op& op, std::string registry,
                                                 std::string endpoint) = 0;
};

json::Object to_json(const RegistryModel& model);
json::Object to_json(const RegistryTag& tag);
json::Object to_json(const RegistryMove& move);
json::Object to_json(const RegistryUsage& usage);
json::Object to_json(const RegistryCollection& collection);
json::Object to_json(const RegistryPruned& pruned);
json::Object to_json(const RegistryVerification& seen);
json::Object to_json(const RegistryEvents& events);
// kCorrupt for what a registry should not say.
Result<RegistryModel> registry_model_from(const json::View& view);
Result<RegistryTag> registry_tag_from(const json::View& view);
Result<RegistryMove> registry_move_from(const json::View& view);
Result<RegistryUsage> registry_usage_from(const json::View& view);
Result<RegistryCollection> registry_collection_from(const json::View& view);
Result<RegistryPruned> registry_pruned_from(const json::View& view);
Result<RegistryVerification> registry_verification_from(const json::View& view);
Result<RegistryEndpoint> registry_endpoint_from(const json::View& view);
Result<RegistryDeadLetter> registry_dead_letter_from(const json::View& view);

}  // namespace berth::control
