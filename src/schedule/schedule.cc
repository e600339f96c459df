#include "schedule/schedule.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/text.h"

namespace berth::schedule {
namespace {

constexpr Moment kForEver = Moment::max();
// What is kept for longer is kept for ever: sums of moments cannot overflow.
constexpr Moment kLongest = std::chrono::hours(24 * 365 * 100);

std::chrono::seconds whole_seconds(Moment time) {
  return std::chrono::ceil<std::chrono::seconds>(std::max(time, Moment(1)));
}

}  // namespace

// ---- views
// ---------------------------------------------------------------------------------------

std::uint64_t Scheduler::promised() const {
  std::uint64_t bytes = 0;
  for (const auto& [key, model] : models_) {
    if (model.phase != Phase::kFailed) bytes += model.need;
  }
  return bytes;
}

std::size_t Scheduler::occupied() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      models_, [](const auto& entry) { return entry.second.phase != Phase::kFailed; }));
}

std::size_t Scheduler::waiting() const {
  std::size_t count = queue_.size();
  for (const auto& [key, model] : models_) count += model.joined.size();
  return count;
}

std::vector<ModelView> Scheduler::models() const {
  std::vector<ModelView> views;
  for (const auto& [key, model] : models_) {
    if (model.phase == Phase::kFailed) continue;
    const auto queued = std::ranges::count_if(
        queue_, [&key](const Queued& each) { return each.request.key == key; });
    views.push_back({.key = key,
                     .phase = model.phase,
                     .need = model.need,
                     .in_use = model.tickets.size(),
                     .waiting = model.joined.size() + static_cast<std::size_t>(queued),
                     .last_used = model.last_used,
                     .keep_alive = model.keep_alive,
                     .expires = expiry(model)});
  }
  return views;
}

Moment Scheduler::keep_alive_of(const Request& request) const {
  const Moment wish = request.keep_alive.value_or(rules_.keep_alive);
  return wish > kLongest ? Moment(-1) : wish;
}

std::optional<Moment> Scheduler::expiry(const Model& model) const {
  if (model.phase != Phase::kReady || !model.tickets.empty()) return std::nullopt;
  if (model.keep_alive < Moment(0)) return std::nullopt;
  return model.last_used + model.keep_alive;
}

// ---- events from callers
// -------------------------------------------------------------------------

void Scheduler::request(Moment now, Request request) {
  if (draining_) {
    effects_.refuse(request.waiter,
                    Error(Code::kUnavailable,
                          fmt::format("cannot load {}: the runner is stopping", request.name)));
    return;
  }
  if (auto error = hopeless(now, request)) {
    effects_.refuse(request.waiter, std::move(*error));
    return;
  }
  const bool at_once = is_ready(request.key) && !impatient(now);
  if (!at_once && waiting() >= rules_.max_waiting) {
    effects_.refuse(request.waiter, Error(Code::kRateLimited,
                                          fmt::format("cannot load {}: {} requests wait already",
                                                      request.name, rules_.max_waiting))
                                        .with_retry_after(std::chrono::seconds(5)));
    return;
  }
  // Who came first is served first once it has waited long enough.
  if (!impatient(now) && serve(now, request)) return rearm();
  queue_.push_back({std::move(request), now});
  pump(now);
}

void Scheduler::cancel(Moment now, Waiter waiter) {
  const auto is_it = [waiter](const Queued& each) { return each.request.waiter == waiter; };
  if (std::erase_if(queue_, is_it) > 0) return pump(now);
  for (auto& [key, model] : models_) {
    const auto joined = [waiter](const Request& each) { return each.waiter == waiter; };
    if (std::erase_if(model.joined, joined) > 0) return rearm();
  }
  done(now, waiter);
}

void Scheduler::done(Moment now, Waiter ticket) {
  for (auto& [key, model] : models_) {
    if (model.tickets.erase(ticket) == 0) continue;
    model.last_used = now;
    settle(now, key, model);
    return pump(now);
  }
}

bool Scheduler::unload(Moment now, const Key& key) {
  const auto at = models_.find(key);
  if (at == models_.end() || at->second.phase != Phase::kReady) return false;
  if (!at->second.tickets.empty()) return false;
  stop(now, key, at->second);
  pump(now);
  return true;
}

std::size_t Scheduler::unload_idle(Moment now) {
  std::size_t count = 0;
  for (auto& [key, model] : models_) {
    if (model.phase != Phase::kReady || !model.tickets.empty()) continue;
    stop(now, key, model);
    ++count;
  }
  pump(now);
  return count;
}

void Scheduler::configure(Moment now, Rules rules) {
  rules_ = rules;
  pump(now);
}

void Scheduler::set_capacity(Moment now, std::uint64_t bytes) {
  rules_.capacity = bytes;
  pump(now);
}

void Scheduler::drain(Moment now) {
  draining_ = true;
  const Error stopping(Code::kUnavailable, "the runner is stopping");
  for (const Queued& each : std::exchange(queue_, {}))
    effects_.refuse(each.request.waiter, stopping);
  for (auto& [key, model] : models_) {
    for (const Request& each : std::exchange(model.joined, {}))
      effects_.refuse(each.waiter, stopping);
    settle(now, key, model);
  }
  rearm();
}

// ---- events from effects
// -------------------------------------------------------------------------

void Scheduler::loaded(Moment now, const Key& key) {
  const auto at = models_.find(key);
  if (at == models_.end() || at->second.phase != Phase::kStarting) return;
  Model& model = at->second;
  model.phase = Phase::kReady;
  model.since = now;
  model.last_used = now;
  for (const Request& each : std::exchange(model.joined, {})) grant(now, model, each);
  settle(now, key, model);
  pump(now);
}

void Scheduler::load_failed(Moment now, const Key& key, Error error) {
  const auto at = models_.find(key);
  if (at == models_.end() || at->second.phase != Phase::kStarting) return;
  for (const Request& each : std::exchange(at->second.joined, {}))
    effects_.refuse(each.waiter, error);
  failed(now, at->second, std::move(error));
  pump(now);
}

void Scheduler::stopped(Moment now, const Key& key) {
  const auto at = models_.find(key);
  if (at == models_.end() || at->second.phase != Phase::kStopping) return;
  models_.erase(at);
  pump(now);
}

void Scheduler::died(Moment now, const Key& key, Error error) {
  const auto at = models_.find(key);
  if (at == models_.end()) return;
  Model& model = at->second;
  if (model.phase == Phase::kStopping) return stopped(now, key);
  if (model.phase == Phase::kStarting) return load_failed(now, key, std::move(error));
  if (model.phase != Phase::kReady) return;
  if (now - model.since >= rules_.stable) model.failures = 0;
  failed(now, model, std::move(error));
  pump(now);
}

void Scheduler::timer(Moment now) {
  armed_.reset();
  effects_.arm_timer(std::nullopt);  // it has fired
  for (auto& [key, model] : models_) settle(now, key, model);
  pump(now);
}

// ---- decisions
// -----------------------------------------------------------------------------------

// What waiting cannot mend.
std::optional<Error> Scheduler::hopeless(Moment now, const Request& request) const {
  const auto at = models_.find(request.key);
  const bool is_there = at != models_.end() && at->second.phase != Phase::kFailed;
  if (!is_there && request.need > rules_.capacity) {
    return Error(
        Code::kExhausted,
        fmt::format("{} needs about {} of memory and only {} can be had for models here: use a "
                    "smaller model, a stronger quantization or a smaller context",
                    request.name, format_size(request.need), format_size(rules_.capacity)));
  }
  if (at == models_.end() || at->second.phase != Phase::kFailed) return std::nullopt;
  const Model& model = at->second;
  if (model.retry_at <= now || !model.last_error) return std::nullopt;
  const auto left = whole_seconds(model.retry_at - now);
  return Error(model.last_error->code(),
               fmt::format("{} failed {} times in a row and is tried again in {} s: {}",
                           request.name, model.failures, left.count(), model.last_error->message()))
      .with_retry_after(left);
}

bool Scheduler::is_ready(const Key& key) const {
  const auto at = models_.find(key);
  return at != models_.end() && at->second.phase == Phase::kReady;
}

bool Scheduler::impatient(Moment now) const {
  return !queue_.empty() && now - queue_.front().since >= rules_.patience;
}

// Grants, joins or starts; false when it has to wait.
bool Scheduler::serve(Moment now, const Request& request) {
  const auto at = models_.find(request.key);
  if (at != models_.end()) {
    Model& model = at->second;
    if (model.phase == Phase::kReady) {
      grant(now, model, request);
      return true;
    }
    if (model.phase == Phase::kStarting) {
      model.keep_alive = keep_alive_of(request);
      model.joined.push_back(request);
      return true;
    }
    if (model.phase == Phase::kStopping) return false;
  }
  // A start may not overtake an older one that waits for memory.
  const bool first = queue_.empty() || queue_.front().request.waiter == request.waiter;
  return first && try_start(now, request);
}

void Scheduler::grant(Moment now, Model& model, const Request& request) {
  model.keep_alive = keep_alive_of(request);
  model.last_used = now;
  model.tickets.emplace(request.waiter, now);
  effects_.grant(request.waiter, request.key);
}

bool Scheduler::fits(std::uint64_t need, std::uint64_t freed, std::size_t freed_models) const {
  const std::uint64_t others = promised() - freed;
  const bool memory = need <= rules_.capacity && others <= rules_.capacity - need;
  return memory && (rules_.max_loaded == 0 || occupied() - freed_models < rules_.max_loaded);
}

// The idle engines to stop so that the request fits: least recently used first and no more than
// needed; nullopt when even all of them would not do. What stops already counts as freed, for it
// will be.
std::optional<std::vector<Key>> Scheduler::victims_for(const Request& request) const {
  std::uint64_t freed = 0;
  std::size_t freed_models = 0;
  std::vector<std::pair<Moment, Key>> idle;
  for (const auto& [key, model] : models_) {
    if (model.phase == Phase::kStopping) {
      freed += model.need;
      ++freed_models;
    }
    if (model.phase == Phase::kReady && model.tickets.empty())
      idle.emplace_back(model.last_used, key);
  }
  std::ranges::sort(idle);
  std::vector<Key> chosen;
  for (const auto& [used, key] : idle) {
    if (fits(request.need, freed, freed_models)) break;
    freed += models_.at(key).need;
    ++freed_models;
    chosen.push_back(key);
  }
  if (!fits(request.need, freed, freed_models)) return std::nullopt;
  // A small old one may have been taken before a big one that is enough alone.
  std::erase_if(chosen, [&](const Key& key) {
    const std::uint64_t need = models_.at(key).need;
    if (!fits(request.need, freed - need, freed_models - 1)) return false;
    freed -= need;
    --freed_models;
    return true;
  });
  return chosen;
}

bool Scheduler::try_start(Moment now, const Request& request) {
  if (fits(request.need, 0, 0)) {
    start(now, request);
    return true;
  }
  if (const auto victims = victims_for(request)) {
    for (const Key& key : *victims) stop(now, key, models_.at(key));
  }
  return false;
}

void Scheduler::start(Moment now, const Request& request) {
  Model& model = models_[request.key];
  model.name = request.name;
  model.phase = Phase::kStarting;
  model.need = request.need;
  model.keep_alive = keep_alive_of(request);
  model.since = now;
  model.last_used = now;
  model.joined.push_back(request);
  effects_.start(request.key);
}

void Scheduler::stop(Moment now, const Key& key, Model& model) {
  BERTH_ASSERT(model.phase == Phase::kReady && model.tickets.empty());
  model.phase = Phase::kStopping;
  model.since = now;
  effects_.stop(key);
}

// Stops what has been idle for long enough, or at once while draining.
void Scheduler::settle(Moment now, const Key& key, Model& model) {
  if (model.phase != Phase::kReady || !model.tickets.empty()) return;
  const auto at = expiry(model);
  if (draining_ || (at && *at <= now)) stop(now, key, model);
}

// The first failure may be tried again at once; the pause then doubles.
void Scheduler::failed(Moment now, Model& model, Error error) {
  model.phase = Phase::kFailed;
  model.tickets.clear();
  model.since = now;
  ++model.failures;
  Moment pause{0};
  for (int i = 1; i < model.failures && pause < rules_.backoff_most; ++i) {
    pause = pause == Moment(0) ? rules_.backoff_first : 2 * pause;
  }
  model.retry_at = now + std::min(pause, rules_.backoff_most);
  model.last_error = std::move(error);
}

// Serves the queue from its front: everyone whose engine runs or starts, and the first who needs
// one started.
void Scheduler::pump(Moment now) {
  for (auto at = queue_.begin(); at != queue_.end();) {
    if (auto error = hopeless(now, at->request)) {
      effects_.refuse(at->request.waiter, std::move(*error));
      at = queue_.erase(at);
      continue;
    }
    const bool overtakes = at != queue_.begin() && impatient(now);
    if (!overtakes && serve(now, at->request)) {
      at = queue_.erase(at);
    } else {
      ++at;
    }
  }
  rearm();
}

// ---- the timer
// -----------------------------------------------------------------------------------

std::optional<Moment> Scheduler::next_moment() const {
  Moment next = kForEver;
  for (const auto& [key, model] : models_) {
    if (const auto at = expiry(model)) next = std::min(next, *at);
  }
  return next == kForEver ? std::nullopt : std::optional(next);
}

void Scheduler::rearm() {
  const auto next = next_moment();
  if (next == armed_) return;
  armed_ = next;
  effects_.arm_timer(next);
}

}  // namespace berth::schedule
