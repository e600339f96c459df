// Which model's engine starts, stops, serves or waits: a pure state machine.
//
// No clock, no I/O, no callbacks into itself: time comes in as a number, decisions go out through
// Effects in the order they were made. One thread. The shell (runner) reports what became of each
// effect: start -> loaded or load_failed; stop -> stopped; and died for an engine that ended by
// itself. Never more memory than the capacity is promised; nothing that serves is stopped; a waiter
// is granted or refused exactly once.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace berth::schedule {

using Moment = std::chrono::milliseconds;  // since any fixed point
using Waiter = std::uint64_t;              // unique for ever; after the grant it is the ticket
using Key = std::string;

struct Rules {
  std::uint64_t capacity = 0;  // bytes that all engines may use together
  std::size_t max_loaded = 0;  // 0 = no limit but memory
  std::size_t max_waiting = 256;
  Moment keep_alive{5 * 60'000};  // when a request has none of its own
  Moment patience{10'000};        // after which newer requests no longer overtake the first waiter
  Moment stable{30'000};          // an engine that lived so long has not crashed at start
  Moment backoff_first{1'000};
  Moment backoff_most{60'000};
};

struct Request {
  Waiter waiter = 0;
  Key key;
  std::string name;  // for sentences
  std::uint64_t need = 0;
  std::optional<Moment> keep_alive;  // negative: for ever; 0: unload when the last request is done
};

struct Effects {
  virtual ~Effects() = default;
  virtual void start(const Key& key) = 0;
  virtual void stop(const Key& key) = 0;
  virtual void grant(Waiter waiter, const Key& key) = 0;
  virtual void refuse(Waiter waiter, Error error) = 0;
  virtual void arm_timer(std::optional<Moment> at) = 0;  // the only timer; nullopt disarms it
};

enum class Phase { kStarting, kReady, kStopping, kFailed };

struct ModelView {
  Key key;
  Phase phase = Phase::kStarting;
  std::uint64_t need = 0;
  std::size_t in_use = 0;
  std::size_t waiting = 0;
  Moment last_used{};
  Moment keep_alive{};            // negative: for ever
  std::optional<Moment> expires;  // when it is idle and will be unloaded
};

class Scheduler {
 public:
  Scheduler(Rules rules, Effects& effects) : rules_(rules), effects_(effects) {}

  // Events from callers.
  void request(Moment now, Request request);
  void cancel(Moment now, Waiter waiter);  // of a waiter, or of a ticket just granted
  void done(Moment now, Waiter ticket);    // unknown tickets (of an engine that died) are ignored
  // Stops it if it is idle; false when it is busy or not loaded.
  bool unload(Moment now, const Key& key);
  std::size_t unload_idle(Moment now);  // all idle ones
  void configure(Moment now, Rules rules);
  void set_capacity(Moment now, std::uint64_t bytes);
  // Refuses whoever waits, and everything from now on; stops what is idle and the rest as it ends.
  void drain(Moment now);

  // Events from effects.
  void loaded(Moment now, const Key& key);
  void load_failed(Moment now, const Key& key, Error error);
  void stopped(Moment now, const Key& key);
  void died(Moment now, const Key& key, Error error);
  void timer(Moment now);

  std::vector<ModelView> models() const;
  std::uint64_t promised() const;  // bytes of everything that starts, runs or stops
  std::size_t waiting() const;

 private:
  struct Model {
    std::string name;
    Phase phase = Phase::kStarting;
    std::uint64_t need = 0;
    Moment keep_alive{};
    Moment last_used{};
    Moment since{};               // of this phase
    std::vector<Request> joined;  // wait for it to start
    std::map<Waiter, Moment> tickets;
    int failures = 0;
    Moment retry_at{};
    std::optional<Error> last_error;
  };
  struct Queued {
    Request request;
    Moment since{};
  };

  void pump(Moment now);
  bool serve(Moment now, const Request& request);
  bool try_start(Moment now, const Request& request);
  void start(Moment now, const Request& request);
  void grant(Moment now, Model& model, const Request& request);
  void stop(Moment now, const Key& key, Model& model);
  void settle(Moment now, const Key& key, Model& model);
  void failed(Moment now, Model& model, Error error);
  bool impatient(Moment now) const;
  bool is_ready(const Key& key) const;
  std::optional<std::vector<Key>> victims_for(const Request& request) const;
  bool fits(std::uint64_t need, std::uint64_t freed, std::size_t freed_models) const;
  std::size_t occupied() const;
  std::optional<Moment> expiry(const Model& model) const;
  std::optional<Moment> next_moment() const;
  void rearm();
  Moment keep_alive_of(const Request& request) const;
  std::optional<Error> hopeless(Moment now, const Request& request) const;

  Rules rules_;
  Effects& effects_;
  std::map<Key, Model> models_;
  std::deque<Queued> queue_;
  std::optional<Moment> armed_;
  bool draining_ = false;
};

}  // namespace berth::schedule
