// A registry: the OCI distribution API as a Service over a depot.
//
// Loop thread. A request passes: the grammar of paths, the gate (who is it, may it), its route. The
// Registry, the depot and the atlas outlive every connection that it serves. Source:
// distribution-spec 1.1 with the changes of its main branch of 2026-07; facts/oci.md A1-A4, G.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "atlas/atlas.h"
#include "depot/depot.h"
#include "http/message.h"
#include "metrics/metrics.h"
#include "rt/loop.h"

namespace berth::registryd {

// The repositories below `prefix` are those of the registry `source`, which ?ns= names.
struct Namespace {
  std::string source;
  std::string prefix;
};

struct Options {
  std::uint64_t max_manifest = std::uint64_t{8} << 20;  // the specification asks for 4 MiB
  std::size_t page = 1000;                              // names in a list when ?n= says none
  std::size_t most_page = 10'000;
  std::chrono::seconds collect_grace{std::chrono::hours(1)};  // of a collection that is asked for
  std::vector<Namespace> namespaces;
  std::string fallback;  // prefix of what names stand for that are not here; "" = nothing
};

class Gate;

class Registry : public http::Service {
 public:
  Registry(depot::Depot depot, atlas::Atlas& atlas, Gate& gate, metrics::Registry& metrics,
           Options options);
  ~Registry() override;

  // Whether a path belongs to the registry ("/v2" and below).
  static bool owns(std::string_view path);
  rt::Task<Result<http::Response>> handle(rt::Op& op, http::Request request) override;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace berth::registryd
