// Lists of a mirror: tags and referrers are upstream's; what people look at (history, the
// catalogue) is what came here.
#pragma once

#include "mirror/core.h"
#include "mirror/memory.h"
#include "mirror/single_flight.h"

namespace berth::mirror {

class MirrorLists : public depot::Lists {
 public:
  explicit MirrorLists(Core& core)
      : core_(core),
        tag_flights_(core.loop, core.scope),
        referrer_flights_(core.loop, core.scope),
        tags_(core),
        referrers_(core) {}

  rt::Task<Result<std::optional<depot::Page>>> tags(rt::Op& op, std::string repository,
                                                    depot::PageRequest request) override;
  rt::Task<Result<std::vector<depot::Referrer>>> referrers(rt::Op& op, std::string repository,
                                                           oci::Digest subject,
                                                           depot::PageRequest request) override;

  std::optional<depot::Stale> stale(const std::string& repository,
                                    const std::string& question) override {
    return core_.stale(repository, question);
  }
  rt::Task<Result<std::optional<depot::TagList>>> tag_list(rt::Op& op, std::string repository,
                                                           std::size_t skip,
                                                           std::size_t limit) override {
    co_return co_await core_.local.lists.tag_list(op, std::move(repository), skip, limit);
  }
  rt::Task<Result<depot::Page>> repositories(rt::Op& op, depot::PageRequest request) override {
    co_return co_await core_.local.lists.repositories(op, std::move(request));
  }
  rt::Task<Result<std::vector<depot::TagState>>> tag_states(rt::Op& op, std::string repository,
                                                            depot::PageRequest request) override {
    co_return co_await core_.local.lists.tag_states(op, std::move(repository), std::move(request));
  }
  rt::Task<Result<std::vector<depot::TagMove>>> history(rt::Op& op, std::string repository,
                                                        std::string tag, std::int64_t before,
                                                        std::size_t limit) override {
    co_return co_await core_.local.lists.history(op, std::move(repository), std::move(tag), before,
                                                 limit);
  }

 private:
  using Names = std::shared_ptr<const std::vector<std::string>>;  // sorted; nullptr: no repository
  using Referrers = std::shared_ptr<const std::vector<depot::Referrer>>;  // by digest

  rt::Task<Result<Names>> ask_tags(Place place);
  rt::Task<Result<Referrers>> ask_referrers(Place place, oci::Digest subject);

  Core& core_;
  SingleFlight<Names> tag_flights_;
  SingleFlight<Referrers> referrer_flights_;
  Memory<Names> tags_;
  Memory<Referrers> referrers_;
};

}  // namespace berth::mirror
