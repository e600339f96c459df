// Fetches what is missing of a blob, over as many connections as are worth it, and hands it to a
// sink.
//
// Loop thread. Begins with one connection; a source that says that its host takes several
// (Source::lanes) gets more while the goodput grows. A connection that stands still or crawls is
// left and what it had is asked for again. What somebody waits for (Plan::prefer) is fetched first.
// What breaks off is tried again as long as bytes come, and a bounded number of times when none do.
// Nothing is verified here: the sink does that. Failures: those of the source and the sink; after
// the tries in vain the last one.
#pragma once

#include <chrono>
#include <functional>

#include "content/content.h"
#include "content/plan.h"
#include "rt/loop.h"

namespace berth::content {

struct Sink {
  virtual ~Sink() = default;
  // Takes bytes of the blob. In any order, none twice; those of one unit in order. Bytes count as
  // held when it returned.
  virtual rt::Task<Status> write(rt::Op& op, std::uint64_t offset, Bytes bytes) = 0;
};

struct DownloadSettings {
  int tries_in_vain = 6;  // in a row without a byte
  std::chrono::milliseconds first_delay{250};
  std::chrono::milliseconds longest_delay{5'000};
  std::chrono::minutes longest_in_vain{5};
  std::chrono::milliseconds tick{50};
  // Time, for tests: the steady clock when empty.
  std::function<rt::SteadyTime()> now = {};
};

// Until plan.complete().
rt::Task<Status> download(rt::Op& op, rt::Loop& loop, Fetcher& from, oci::Descriptor blob,
                          Plan& plan, Sink& sink, Progress& progress,
                          DownloadSettings settings = {});

}  // namespace berth::content
