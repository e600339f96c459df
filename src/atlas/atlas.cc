#include "atlas/atlas.h"

#include "atlas/model_of.h"
#include "atlas/ollama_view.h"
#include "base/log.h"
#include "base/text.h"
#include "content/content.h"
#include "model/codec.h"

namespace berth::atlas {
namespace {

constexpr std::size_t kAtOnce = 2;        // on the pool, which has other things to do
constexpr std::size_t kMostPending = 64;  // each holds a manifest; more are looked at later
constexpr std::size_t kBatch = 100;
constexpr std::chrono::seconds kPatience{2};  // of whoever searches

// A manifest's config comes before its layers.
bool names_model_config(const depot::PushedManifest& pushed) {
  return !pushed.children.empty() &&
         model::is_model(oci::Manifest{.config = pushed.children.front()});
}

}  // namespace

Check check_from(std::string_view word) {
  if (word == "off") return Check::kOff;
  return word == "refuse" ? Check::kRefuse : Check::kWarn;
}

struct Look::State {
  State(rt::Loop& loop, depot::ManifestPlace where,
        std::shared_ptr<const depot::StoredManifest> what)
      : place(std::move(where)), manifest(std::move(what)), changed(loop) {}

  void decide(bool is_stored) {
    if (outcome) return;
    outcome = is_stored;
    changed.notify_all();
  }

  depot::ManifestPlace place;
  std::shared_ptr<const depot::StoredManifest> manifest;
  rt::Event changed;
  std::optional<Result<std::optional<depot::ModelFacts>>> facts;
  std::optional<bool> outcome;  // whether the manifest was stored
};

Look::~Look() {
  if (state_) state_->decide(false);
}

rt::Task<Status> Look::wait(rt::Op& op) {
  if (!state_) co_return Status();
  while (!state_->facts) CO_TRY_OK(co_await state_->changed.wait(op));
  if (!*state_->facts) co_return std::unexpected(state_->facts->error());
  co_return Status();
}

std::vector<std::string> Look::findings() const {
  if (!state_ || !state_->facts || !*state_->facts || !**state_->facts) return {};
  return (**state_->facts)->findings;
}

void Look::stored() {
  if (state_) state_->decide(true);
}

Atlas::Atlas(rt::Loop& loop, depot::Depot depot, Check check)
    : loop_(loop),
      depot_(depot),
      check_(check),
      inspector_(loop, depot.blobs),
      at_once_(loop, kAtOnce),
      looks_(loop),
      op_("look"),
      changed_(loop) {}

void Atlas::start() {
  if (check_ != Check::kOff) looks_.spawn(catch_up(*this));
}

rt::Task<Status> Atlas::close() {
  op_.cancel();
  changed_.notify_all();
  (void)co_await looks_.join();
  co_return Status();
}

Look Atlas::look(std::string repository, depot::PushedManifest& pushed) {
  pushed.looked_at = !names_model_config(pushed);
  if (pushed.looked_at) return {};
  if (check_ == Check::kOff) return {};
  // Who refuses has to look, however many there are: their pushes wait for it.
  if (check_ != Check::kRefuse && pending_ >= kMostPending) {
    rest_ = true;
    return {};
  }
  const depot::StoredManifest& manifest = pushed.manifest;
  depot::ManifestPlace place{.repository = std::move(repository), .digest = manifest.digest};
  auto state = std::make_shared<Look::State>(
      loop_, std::move(place), std::make_shared<const depot::StoredManifest>(manifest));
  ++pending_;
  looks_.spawn(examine(*this, state));
  return Look(std::move(state));
}

rt::Task<Status> Atlas::examine(Atlas& atlas, std::shared_ptr<Look::State> state) {
  {
    const auto permit = co_await atlas.at_once_.acquire(atlas.op_);
    if (permit) {
      state->facts =
          co_await atlas.inspector_.inspect(atlas.op_, state->place.repository, state->manifest);
    } else {
      state->facts = std::unexpected(permit.error());
    }
  }
  state->changed.notify_all();
  while (!state->outcome) {
    if (!co_await state->changed.wait(atlas.op_)) break;
  }
  if (state->outcome.value_or(false)) {
    const Status kept =
        *state->facts ? co_await atlas.depot_.models.keep(atlas.op_, state->place, **state->facts)
                      : Status(std::unexpected(state->facts->error()));
    if (!kept) atlas.rest_ = true;
  }
  --atlas.pending_;
  atlas.changed_.notify_all();
  co_return Status();
}

rt::Task<Status> Atlas::catch_up(Atlas& atlas) {
  for (;;) {
    // What is being looked at now will be recorded without this.
    while (!atlas.rest_ || atlas.pending_ > 0) {
      if (!co_await atlas.changed_.wait(atlas.op_)) co_return Status();
    }
    atlas.rest_ = false;
    atlas.catching_up_ = true;
    const Status done = co_await atlas.look_at_rest();
    atlas.catching_up_ = false;
    if (atlas.op_.cancelled()) co_return Status();
    if (!done) log::error("models could not be looked at: {}", printable(done.error().message()));
    atlas.changed_.notify_all();
  }
}

rt::Task<Status> Atlas::look_at_rest() {
  for (;;) {
    CO_TRY(const auto places, co_await depot_.models.not_looked_at(op_, kBatch));
    if (places.empty()) co_return Status();
    for (const depot::ManifestPlace& place : places) CO_TRY_OK(co_await look_again(place));
  }
}

rt::Task<Status> Atlas::look_again(depot::ManifestPlace place) {
  Result<std::optional<depot::ModelFacts>> facts = std::nullopt;
  CO_TRY(auto manifest,
         co_await depot_.manifests.find_manifest(op_, place.repository, place.digest));
  if (manifest) facts = co_await inspector_.inspect(op_, place.repository, std::move(manifest));
  CO_TRY_OK(op_.check());
  if (!facts) {
    // One that cannot be read must not keep the others waiting: its next push is looked at again.
    log::warning("{}@{} could not be looked at: {}", place.repository, place.digest.string(),
                 printable(facts.error().message()));
    facts = std::nullopt;
  }
  co_return co_await depot_.models.keep(op_, std::move(place), std::move(*facts));
}

rt::Task<Result<std::optional<depot::StoredManifest>>> Atlas::for_ollama(
    rt::Op& op, std::string repository, std::shared_ptr<const depot::StoredManifest> manifest) {
  CO_TRY(const auto facts, co_await inspector_.inspect(op, repository, manifest));
  if (!facts) co_return std::nullopt;
  const auto model = co_await model_of(op, loop_, depot_.blobs, repository, std::move(manifest));
  if (!model && model.error().code() != Code::kInvalid) co_return std::unexpected(model.error());
  if (!model || !*model) co_return std::nullopt;
  auto view = ollama_view(**model, *facts);
  if (!view) co_return std::nullopt;
  CO_TRY(const auto there, co_await depot_.blobs.find_blob(op, repository, view->config_digest));
  if (!there) {
    CO_TRY(const std::string id, co_await depot_.uploads.begin(op, repository));
    content::BytesFetcher bytes(view->config);
    CO_TRY(const content::Source source, co_await bytes.fetch(op, {}, {}));
    CO_TRY_OK(co_await depot_.uploads.append(op, repository, id, std::nullopt, *source.reader));
    CO_TRY_OK(co_await depot_.uploads.finish(op, repository, id, view->config_digest));
  }
  co_return std::move(view->manifest);
}

rt::Task<Status> Atlas::settled(rt::Op& op) {
  if (check_ == Check::kOff) co_return Status();
  const rt::SteadyTime until = std::chrono::steady_clock::now() + kPatience;
  while (pending_ > 0 || rest_ || catching_up_) {
    const Status waited = co_await changed_.wait_until(op, until);
    CO_TRY_OK(op.check());
    if (!waited) break;
  }
  co_return Status();
}

}  // namespace berth::atlas
