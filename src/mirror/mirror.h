// A registry that also serves what other registries have: what is asked for and not here is fetched
// from upstream, verified, kept, and served while it comes.
//
// A wrapper around a local depot with the same seam. Loop thread. Repositories below an entry's
// prefix are upstream's and take no changes; all others are the local depot's alone. Upstream is
// asked what a tag stands for (by HEAD), unless it was a moment ago; content by digest that a
// repository has is not asked for again. When upstream cannot be asked, what is here is served.
// Transfers and questions that are under way are shared by all who ask (one for each blob,
// manifest and tag) and go on when their callers leave. Failures, besides the depot's:
// kUnavailable, kTimeout and kRateLimited, which are upstream's; kNotAllowed for changes. close()
// must have been awaited before it goes. Decision: docs/decisions/011-the-mirror.md.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "depot/depot.h"
#include "metrics/metrics.h"
#include "mirror/entry.h"
#include "remote/registry.h"
#include "rt/loop.h"

namespace berth::mirror {

struct Options {
  std::chrono::milliseconds check{60'000};  // a tag that was asked for since is as it was
  std::uint64_t max_manifest = std::uint64_t{8} << 20;
  std::size_t fills = 8;                     // blobs that are fetched at once
  std::function<rt::SteadyTime()> now = {};  // for tests
};

class Mirror {
 public:
  // `local`, `intake` and `metrics` outlive it. `remote` is how upstream is reached; mirrors in it
  // are not used. kInvalid for an upstream that is no registry.
  static Result<std::unique_ptr<Mirror>> open(rt::Loop& loop, depot::Depot local,
                                              depot::Intake& intake, metrics::Registry& metrics,
                                              Entries entries, remote::RegistryOptions remote,
                                              Options options);
  ~Mirror();

  depot::Depot seam();
  // Gives up what is under way; transfers can be gone on with.
  rt::Task<Status> close();

 private:
  struct Parts;
  explicit Mirror(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace berth::mirror
