#include "mirror/fills.h"

#include "base/log.h"
#include "base/text.h"
#include "content/content.h"

namespace berth::mirror {
namespace {

constexpr std::uint64_t kSmall = 4 * 1024 * 1024;
constexpr std::size_t kSmallAtOnce = 64;

// Counts what comes.
class Counting : public content::Progress {
 public:
  explicit Counting(Upstream& upstream) : upstream_(upstream) {}
  void on(const content::Event& event) override {
    using Kind = content::Event::Kind;
    if (event.kind == Kind::kRetry) log::info("{}", printable(event.message));
    if (event.kind == Kind::kBytes && event.current > counted_)
      upstream_.count_bytes(event.current - counted_);
    if (event.kind == Kind::kBytes || event.kind == Kind::kResumed) counted_ = event.current;
  }

 private:
  Upstream& upstream_;
  std::uint64_t counted_ = 0;
};

std::string shown(const Place& place, const oci::Descriptor& blob) {
  return fmt::format("{} ({}) of {}/{}", blob.digest.short_hex(), format_size(blob.size),
                     place.upstream->name(), place.name);
}

}  // namespace

Fills::Fills(Core& core)
    : core_(core),
      at_once_(core.loop, core.options.fills),
      small_(core.loop, kSmallAtOnce),
      wrong_(core) {}

rt::Task<Result<std::shared_ptr<depot::Arriving>>> Fills::fetch(rt::Op& op, Place place,
                                                                oci::Descriptor blob) {
  for (;;) {
    const auto known = fills_.find(blob.digest);
    if (known == fills_.end()) break;
    const std::shared_ptr<Fill> fill = known->second;
    if (fill->arriving->blob().size == blob.size) {
      fill->also.insert(place.repository);
      co_return fill->arriving;
    }
    // Two repositories say two sizes, and one of them lies.
    while (!fill->done) CO_TRY_OK(co_await fill->over.wait(op));
  }
  if (const Error* wrong = wrong_.find(blob.digest.string(), kAbsentFor))
    co_return std::unexpected(*wrong);
  if (const auto resting = place.upstream->resting()) co_return std::unexpected(*resting);
  const auto fill = std::make_shared<Fill>(core_.loop, core_.intake.announce(blob));
  fills_.emplace(blob.digest, fill);
  place.upstream->count(Upstream::Event::kMiss);
  core_.scope.spawn(run(*this, fill, std::move(place)));
  co_return fill->arriving;
}

rt::Task<Status> Fills::run(Fills& fills, std::shared_ptr<Fill> fill, Place place) {
  const oci::Descriptor blob = fill->arriving->blob();
  const auto begun = std::chrono::steady_clock::now();
  const Status done = co_await fills.take_in(fill, place);
  if (done) {
    place.upstream->answered();
    log::info("fetched {} in {}", shown(place, blob),
              format_duration(std::chrono::duration_cast<std::chrono::milliseconds>(
                  std::chrono::steady_clock::now() - begun)));
  } else {
    const bool wrong = done.error().code() == Code::kDigestMismatch;
    Error told = place.upstream->told(
        Error(done.error()).with_context("cannot fetch " + shown(place, blob)));
    log::warning("{}", printable(told.message()));
    if (wrong) fills.wrong_.put(blob.digest.string(), told);
    fill->arriving->give_up(std::move(told));
  }
  fill->done = true;
  fills.fills_.erase(blob.digest);
  fill->over.notify_all();
  co_return Status();
}

rt::Task<Status> Fills::take_in(std::shared_ptr<Fill> fill, Place place) {
  rt::Limiter& limiter = fill->arriving->blob().size <= kSmall ? small_ : at_once_;
  CO_TRY(const auto permit, co_await limiter.acquire(core_.op));
  CO_TRY(const auto repository, place.open());
  Counting progress(*place.upstream);
  CO_TRY_OK(co_await core_.intake.take_in(core_.op, place.repository, fill->arriving, *repository,
                                          progress));
  co_return co_await show_elsewhere(*fill, place);
}

rt::Task<Status> Fills::show_elsewhere(Fill& fill, const Place& place) {
  while (!fill.also.empty()) {
    std::string other = std::move(fill.also.extract(fill.also.begin()).value());
    if (other == place.repository) continue;
    CO_TRY_OK(co_await core_.local.blobs.mount(core_.op, std::move(other),
                                               fill.arriving->blob().digest, place.repository));
  }
  co_return Status();
}

}  // namespace berth::mirror
