// The blobs that are being fetched: each once, whoever asks.
//
// Loop thread. A fill goes on when its readers leave; when the mirror closes it is given up, and
// the next one goes on where it was.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "mirror/core.h"
#include "mirror/memory.h"

namespace berth::mirror {

class Fills {
 public:
  explicit Fills(Core& core);

  // The blob on its way: begun when nobody fetches it yet. It is shown in the place's repository
  // when it is here.
  rt::Task<Result<std::shared_ptr<depot::Arriving>>> fetch(rt::Op& op, Place place,
                                                           oci::Descriptor blob);

 private:
  struct Fill {
    Fill(rt::Loop& loop, std::shared_ptr<depot::Arriving> blob)
        : arriving(std::move(blob)), over(loop) {}
    std::shared_ptr<depot::Arriving> arriving;
    std::set<std::string> also;  // further repositories that asked
    rt::Event over;
    bool done = false;
  };
  static rt::Task<Status> run(Fills& fills, std::shared_ptr<Fill> fill, Place place);
  rt::Task<Status> take_in(std::shared_ptr<Fill> fill, Place place);
  rt::Task<Status> show_elsewhere(Fill& fill, const Place& place);

  Core& core_;
  rt::Limiter at_once_;
  rt::Limiter small_;  // of these: they do not wait for large ones
  std::map<oci::Digest, std::shared_ptr<Fill>> fills_;
  Memory<Error> wrong_;  // by digest: upstream sent something else
};

}  // namespace berth::mirror
