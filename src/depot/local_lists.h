// What the local depot holds, in pages.
#pragma once

#include "depot/shelf.h"

namespace berth::depot {

class LocalLists : public Lists {
 public:
  explicit LocalLists(Shelf& shelf) : shelf_(shelf) {}

  rt::Task<Result<std::optional<Page>>> tags(rt::Op& op, std::string repository,
                                             PageRequest request) override;
  rt::Task<Result<std::optional<TagList>>> tag_list(rt::Op& op, std::string repository,
                                                    std::size_t skip, std::size_t limit) override;
  rt::Task<Result<Page>> repositories(rt::Op& op, PageRequest request) override;
  rt::Task<Result<std::vector<Referrer>>> referrers(rt::Op& op, std::string repository,
                                                    oci::Digest subject,
                                                    PageRequest request) override;
  rt::Task<Result<std::vector<TagState>>> tag_states(rt::Op& op, std::string repository,
                                                     PageRequest request) override;
  rt::Task<Result<std::vector<TagMove>>> history(rt::Op& op, std::string repository,
                                                 std::string tag, std::int64_t before,
                                                 std::size_t limit) override;

 private:
  Shelf& shelf_;
};

}  // namespace berth::depot
