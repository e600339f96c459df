#include "runner/runner.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <utility>

#include <boost/asio/steady_timer.hpp>

#include "base/log.h"
#include "rt/async.h"
#include "runner/slot.h"

namespace berth::runner {
namespace {

using schedule::Key;
using schedule::Moment;
using schedule::Waiter;

Moment now() {
  return std::chrono::duration_cast<Moment>(std::chrono::steady_clock::now().time_since_epoch());
}

std::chrono::system_clock::time_point wall_time(Moment moment) {
  return std::chrono::system_clock::now() + (moment - now());
}

schedule::Rules rules_of(const Settings& settings) {
  schedule::Rules rules;
  rules.capacity = settings.memory_limit.value_or(std::numeric_limits<std::uint64_t>::max() / 2);
  rules.max_loaded = settings.max_loaded;
  rules.max_waiting = settings.max_waiting;
  rules.keep_alive = settings.keep_alive;
  return rules;
}

}  // namespace

// The actor. Scheduler's decisions are queued and carried out after it has returned, so that it is
// never entered twice.
struct Runner::Core : schedule::Effects, std::enable_shared_from_this<Core> {
  Core(rt::Loop& on, engine::Engine& with, Settings from)
      : loop(on),
        engine(with),
        settings(std::move(from)),
        capacity(rules_of(settings).capacity),
        scheduler(rules_of(settings), *this),
        scope(on),
        changed(on),
        clock(on.context()) {}

  struct Pending {
    explicit Pending(rt::Loop& loop, LoadSpec wanted) : spec(std::move(wanted)), answered(loop) {}
    LoadSpec spec;
    rt::Event answered;
    std::shared_ptr<Slot> granted;
    std::optional<Error> refused;
  };

  // Effects: only noted.
  void start(const Key& key) override {
    todo.push_back([this, key] { do_start(key); });
  }
  void stop(const Key& key) override {
    todo.push_back([this, key] { do_stop(key); });
  }
  void grant(Waiter waiter, const Key& key) override {
    todo.push_back([this, waiter, key] { do_grant(waiter, key); });
  }
  void refuse(Waiter waiter, Error error) override {
    todo.push_back([this, waiter, error] { do_refuse(waiter, error); });
  }
  void arm_timer(std::optional<Moment> at) override {
    todo.push_back([this, at] { do_arm(at); });
  }

  // Every call of the scheduler goes through here.
  template <class Event>
  auto tell(Event event) {
    struct Flush {
      Core& core;
      ~Flush() { core.perform(); }
    } flush{*this};
    return event(scheduler);
  }

  void perform() {
    if (std::exchange(performing, true)) return;
    while (!todo.empty()) {
      const auto effect = std::move(todo.front());
      todo.pop_front();
      effect();
    }
    performing = false;
  }

  void do_start(const Key& key) {
    for (auto& [waiter, pending] : waiting) {
      if (pending->spec.key != key) continue;
      auto slot = std::make_shared<Slot>(loop, life, pending->spec);
      slots[key] = slot;
      scope.spawn(supervise(shared_from_this(), std::move(slot)));
      return;
    }
    // Whoever wanted it was cancelled in the same breath.
    todo.push_back([this, key] {
      scheduler.load_failed(now(), key, Error(Code::kCancelled, "nobody wants it any more"));
    });
  }

  void do_stop(const Key& key) {
    const auto at = slots.find(key);
    if (at != slots.end()) scope.spawn(at->second->stop());
  }

  void do_grant(Waiter waiter, const Key& key) {
    const auto pending = waiting.find(waiter);
    const auto slot = slots.find(key);
    if (pending == waiting.end() || slot == slots.end()) return;
    pending->second->granted = slot->second;
    pending->second->answered.notify_all();
  }

  void do_refuse(Waiter waiter, const Error& error) {
    const auto pending = waiting.find(waiter);
    if (pending == waiting.end()) return;
    pending->second->refused = error;
    pending->second->answered.notify_all();
  }

  void do_arm(std::optional<Moment> at) {
    clock.cancel();
    if (!at) return;
    clock.expires_at(rt::SteadyTime(*at));
    clock.async_wait([weak = weak_from_this()](boost::system::error_code error) {
      const auto self = weak.lock();
      if (!error && self) self->tell([](schedule::Scheduler& s) { s.timer(now()); });
    });
  }

  void forget(const Key& key, const std::shared_ptr<Slot>& slot) {
    const auto at = slots.find(key);
    if (at != slots.end() && at->second == slot) slots.erase(at);
    changed.notify_all();
  }

  static rt::Task<Status> supervise(std::shared_ptr<Core> core, std::shared_ptr<Slot> slot) {
    const Key key = slot->spec.key;
    const Status loaded =
        co_await slot->load(core->loop, core->engine, core->settings, core->capacity, core->logs);
    if (!loaded) {
      slot->failure = loaded.error();
      slot->ended.notify_all();
      core->logs.add_engine(slot->spec.display_name, "cannot load: " + loaded.error().message());
      core->forget(key, slot);
      core->tell([&](schedule::Scheduler& s) { s.load_failed(now(), key, loaded.error()); });
      co_return Status();
    }
    core->tell([&](schedule::Scheduler& s) { s.loaded(now(), key); });
    (void)co_await slot->run_out(core->engine);
    core->forget(key, slot);
    if (!slot->stopping) {
      // The first line: the others are in the engine's own log.
      const std::string& why = slot->failure->message();
      log::warning("{}: {}", slot->spec.display_name, why.substr(0, why.find('\n')));
      core->tell([&](schedule::Scheduler& s) { s.died(now(), key, *slot->failure); });
    } else {
      core->tell([&](schedule::Scheduler& s) { s.stopped(now(), key); });
    }
    co_return Status();
  }

  std::vector<int> pids() const {
    std::vector<int> all;
    for (const auto& [key, slot] : slots) {
      if (slot->child) all.push_back(slot->child->pid());
    }
    return all;
  }

  bool is_ready(const Key& key) const {
    const auto at = slots.find(key);
    return at != slots.end() && at->second->ready;
  }

  // What engines may use together, by the machine's memory of this moment.
  rt::Task<Status> measure() {
    if (settings.memory_limit) co_return Status();
    const auto state = co_await rt::blocking(loop, [own = pids()] {
      std::uint64_t held = 0;
      for (const int pid : own) held += process::anonymous_bytes(pid);
      return std::pair(read_memory(), held);
    });
    if (!state.first) co_return Status();
    capacity = runner::capacity(*state.first, state.second, settings.memory_reserve);
    tell([&](schedule::Scheduler& s) { s.set_capacity(now(), capacity); });
    co_return Status();
  }

  rt::Loop& loop;
  engine::Engine& engine;
  Settings settings;
  std::uint64_t capacity;
  schedule::Scheduler scheduler;
  std::deque<std::function<void()>> todo;
  bool performing = false;
  rt::Op life{"load"};
  rt::Scope scope;
  rt::Event changed;
  boost::asio::steady_timer clock;
  LogBuffer logs;
  std::map<Key, std::shared_ptr<Slot>> slots;
  std::map<Waiter, std::shared_ptr<Pending>> waiting;
  Waiter next = 1;
};

// ---- tickets -----------------------------------------------------------------------------------

struct Ticket::Hold {
  std::shared_ptr<Runner::Core> core;
  std::shared_ptr<Slot> slot;
  Waiter waiter;
  LoadReport report;
  ~Hold() {
    core->tell([this](schedule::Scheduler& s) { s.done(now(), waiter); });
  }
};

Ticket::Ticket(std::unique_ptr<Hold> hold) : hold_(std::move(hold)) {}
Ticket::Ticket(Ticket&&) noexcept = default;
Ticket& Ticket::operator=(Ticket&&) noexcept = default;
Ticket::~Ticket() = default;

http::Service& Ticket::service() { return *hold_->slot; }
const LoadReport& Ticket::report() const { return hold_->report; }
std::optional<Error> Ticket::engine_failure() const { return hold_->slot->failure; }

// ---- the runner --------------------------------------------------------------------------------

Runner::Runner(rt::Loop& loop, engine::Engine& engine, Settings settings)
    : core_(std::make_shared<Core>(loop, engine, std::move(settings))) {}
Runner::~Runner() { BERTH_ASSERT(core_->scope.running() == 0); }

LogBuffer& Runner::logs() { return core_->logs; }

rt::Task<Result<Ticket>> Runner::acquire(rt::Op& op, LoadSpec spec) {
  const auto core = core_;
  CO_TRY_OK(op.check());
  const bool was_loaded = core->is_ready(spec.key);
  // Nothing is measured for an engine that runs: this is the path of every request.
  if (!was_loaded) CO_TRY_OK(co_await core->measure());
  const Waiter waiter = core->next++;
  const auto pending = std::make_shared<Core::Pending>(core->loop, std::move(spec));
  core->waiting.emplace(waiter, pending);
  core->tell([&](schedule::Scheduler& s) {
    s.request(now(), {.waiter = waiter,
                      .key = pending->spec.key,
                      .name = pending->spec.display_name,
                      .need = pending->spec.memory,
                      .keep_alive = pending->spec.keep_alive});
  });
  Status waited;
  while (waited && !pending->granted && !pending->refused) {
    waited = co_await pending->answered.wait(op);
  }
  core->waiting.erase(waiter);
  if (pending->refused) co_return std::unexpected(*pending->refused);
  if (!waited) {
    core->tell([&](schedule::Scheduler& s) { s.cancel(now(), waiter); });
    co_return std::unexpected(waited.error());
  }
  LoadReport report = pending->granted->report;
  report.was_loaded = was_loaded;
  if (was_loaded) report.time = {};
  co_return Ticket(std::unique_ptr<Ticket::Hold>(
      new Ticket::Hold{core, pending->granted, waiter, std::move(report)}));
}

std::vector<Running> Runner::list() const {
  std::vector<Running> all;
  for (const schedule::ModelView& view : core_->scheduler.models()) {
    const auto at = core_->slots.find(view.key);
    if (at == core_->slots.end()) continue;
    const Slot& slot = *at->second;
    Running running{.backend = core_->engine.traits().name,
                    .model_id = slot.spec.model_id,
                    .display_name = slot.spec.display_name,
                    .mode = slot.spec.options.mode,
                    .loading = view.phase == schedule::Phase::kStarting,
                    .stopping = view.phase == schedule::Phase::kStopping,
                    .in_use = view.in_use,
                    .waiting = view.waiting,
                    .last_used = wall_time(view.last_used),
                    .keep_alive = view.keep_alive,
                    .placement = slot.report.placement,
                    .context_size = slot.report.context_size};
    if (view.expires) running.expires = wall_time(*view.expires);
    if (slot.ready) running.service = at->second;
    if (slot.child) {
      running.pid = slot.child->pid();
      running.resident = process::resident_bytes(running.pid);
    }
    all.push_back(std::move(running));
  }
  return all;
}

bool Runner::is_running(const std::string& model_id) const {
  for (const auto& [key, slot] : core_->slots) {
    if (slot->spec.model_id == model_id) return true;
  }
  return false;
}

rt::Task<Result<std::size_t>> Runner::unload(rt::Op& op, std::vector<std::string> model_ids) {
  const auto core = core_;
  std::vector<std::shared_ptr<Slot>> leaving;
  for (const auto& [key, slot] : std::map(core->slots)) {
    const bool meant =
        model_ids.empty() || std::ranges::find(model_ids, slot->spec.model_id) != model_ids.end();
    if (!meant) continue;
    if (core->tell([&](schedule::Scheduler& s) { return s.unload(now(), key); })) {
      leaving.push_back(slot);
    }
  }
  for (const auto& slot : leaving) {
    while (!slot->failure) CO_TRY_OK(co_await slot->ended.wait(op));
  }
  co_return leaving.size();
}

void Runner::configure(Settings settings) {
  core_->settings = std::move(settings);
  schedule::Rules rules = rules_of(core_->settings);
  if (!core_->settings.memory_limit) rules.capacity = core_->capacity;
  core_->capacity = rules.capacity;
  core_->tell([&](schedule::Scheduler& s) { s.configure(now(), rules); });
}

rt::Task<Status> Runner::shutdown(rt::Op& op) {
  const auto core = core_;
  core->tell([](schedule::Scheduler& s) { s.drain(now()); });
  core->life.cancel(Error(Code::kCancelled, "the runner is stopping"));
  while (!core->slots.empty() && co_await core->changed.wait(op)) continue;
  for (const auto& [key, slot] : std::map(core->slots)) {
    if (!slot->stopping) core->scope.spawn(slot->stop());
  }
  const Status joined = co_await core->scope.join();
  core->clock.cancel();
  co_return joined;
}

}  // namespace berth::runner
