#include "mirror/mirror_blobs.h"

namespace berth::mirror {
namespace {

constexpr std::chrono::minutes kSizeFor{1};

}  // namespace

rt::Task<Result<std::optional<std::uint64_t>>> MirrorBlobs::find_blob(rt::Op& op,
                                                                      std::string repository,
                                                                      oci::Digest digest) {
  CO_TRY(const auto here, co_await core_.local.blobs.find_blob(op, repository, digest));
  if (here) co_return here;
  const Place place = core_.place_of(repository);
  if (!place) co_return std::nullopt;
  co_return co_await size_upstream(op, place, std::move(digest));
}

rt::Task<Result<std::optional<depot::OpenBlob>>> MirrorBlobs::open_blob(rt::Op& op,
                                                                        std::string repository,
                                                                        oci::Digest digest) {
  depot::Blobs& local = core_.local.blobs;
  CO_TRY(auto here, co_await local.open_blob(op, repository, digest));
  const Place place = core_.place_of(repository);
  if (!place) co_return std::move(here);
  if (here) {
    place.upstream->count(Upstream::Event::kHit);
    co_return std::move(here);
  }
  // Not by what a manifest says: anybody may push one upstream that names a blob which only a
  // private repository here has.
  CO_TRY(const auto size, co_await said_upstream(op, place, digest));
  if (!size) co_return std::nullopt;
  // Upstream has it in this repository as well, so another one's copy will do.
  CO_TRY(const bool mounted, co_await local.mount(op, repository, digest, ""));
  if (mounted) {
    place.upstream->count(Upstream::Event::kHit);
    co_return co_await local.open_blob(op, repository, digest);
  }
  CO_TRY(
      auto arriving,
      co_await fills_.fetch(
          op, place, {.media_type = "application/octet-stream", .digest = digest, .size = *size}));
  // Before it is promised to anybody.
  CO_TRY_OK(co_await arriving->begun(op));
  co_return depot::OpenBlob{.file = {}, .size = *size, .arriving = std::move(arriving)};
}

rt::Task<Result<bool>> MirrorBlobs::mount(rt::Op& op, std::string repository, oci::Digest digest,
                                          std::string from) {
  CO_TRY_OK(core_.check_changeable(repository));
  co_return co_await core_.local.blobs.mount(op, std::move(repository), std::move(digest),
                                             std::move(from));
}

rt::Task<Result<bool>> MirrorBlobs::remove_blob(rt::Op& op, std::string repository,
                                                oci::Digest digest) {
  CO_TRY_OK(core_.check_changeable(repository));
  co_return co_await core_.local.blobs.remove_blob(op, std::move(repository), std::move(digest));
}

rt::Task<Result<MirrorBlobs::Size>> MirrorBlobs::size_upstream(rt::Op& op, Place place,
                                                               oci::Digest digest) {
  CO_TRY(const auto named, co_await core_.intake.named_size(op, place.repository, digest));
  if (named) co_return named;
  co_return co_await said_upstream(op, std::move(place), std::move(digest));
}

rt::Task<Result<MirrorBlobs::Size>> MirrorBlobs::said_upstream(rt::Op& op, Place place,
                                                               oci::Digest digest) {
  const std::string key = place.repository + "@" + digest.string();
  const Size* said = said_.find(key, kSizeFor);
  if (said != nullptr && *said) co_return *said;
  if (said_.find(key, kAbsentFor) != nullptr) co_return std::nullopt;
  if (auto resting = place.upstream->resting()) co_return std::unexpected(*resting);
  co_return co_await questions_.run(op, key, [&] { return ask(place, digest); });
}

rt::Task<Result<MirrorBlobs::Size>> MirrorBlobs::ask(Place place, oci::Digest digest) {
  CO_TRY(const auto repository, place.open());
  auto size = co_await repository->blob_size(core_.op, digest);
  if (!size) co_return std::unexpected(place.upstream->told(std::move(size.error())));
  place.upstream->answered();
  said_.put(place.repository + "@" + digest.string(), *size);
  co_return *size;
}

}  // namespace berth::mirror
