// Uploads beside a mirror: none into its repositories.
#pragma once

#include "mirror/core.h"

namespace berth::mirror {

class MirrorUploads : public depot::Uploads {
 public:
  explicit MirrorUploads(Core& core) : core_(core) {}

  rt::Task<Result<std::string>> begin(rt::Op& op, std::string repository) override {
    CO_TRY_OK(core_.check_changeable(repository));
    co_return co_await local().begin(op, std::move(repository));
  }
  rt::Task<Result<std::optional<std::uint64_t>>> held(rt::Op& op, std::string repository,
                                                      std::string id) override {
    co_return co_await local().held(op, std::move(repository), std::move(id));
  }
  rt::Task<Status> check_room(rt::Op& op, std::string repository, std::uint64_t bytes) override {
    co_return co_await local().check_room(op, std::move(repository), bytes);
  }
  rt::Task<Result<std::uint64_t>> append(rt::Op& op, std::string repository, std::string id,
                                         std::optional<std::uint64_t> from,
                                         rt::Reader& body) override {
    CO_TRY_OK(core_.check_changeable(repository));
    co_return co_await local().append(op, std::move(repository), std::move(id), from, body);
  }
  rt::Task<Status> put_piece(rt::Op& op, std::string repository, std::string id,
                             std::uint64_t begin, std::uint64_t end, rt::Reader& body) override {
    CO_TRY_OK(core_.check_changeable(repository));
    co_return co_await local().put_piece(op, std::move(repository), std::move(id), begin, end,
                                         body);
  }
  rt::Task<Result<std::optional<std::size_t>>> pieces(rt::Op& op, std::string repository,
                                                      std::string id) override {
    co_return co_await local().pieces(op, std::move(repository), std::move(id));
  }
  rt::Task<Status> finish(rt::Op& op, std::string repository, std::string id,
                          oci::Digest digest) override {
    CO_TRY_OK(core_.check_changeable(repository));
    co_return co_await local().finish(op, std::move(repository), std::move(id), std::move(digest));
  }
  rt::Task<Result<bool>> cancel(rt::Op& op, std::string repository, std::string id) override {
    co_return co_await local().cancel(op, std::move(repository), std::move(id));
  }

 private:
  depot::Uploads& local() { return core_.local.uploads; }
  Core& core_;
};

}  // namespace berth::mirror
