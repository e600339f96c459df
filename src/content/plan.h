// Which bytes of a blob which connection fetches next: the planner of a download.
//
// A pure state machine: the time is given, nothing is fetched or written here. The blob is cut into
// units; each is filled from its start, so what is held of it is one number. A worker (a
// connection) owns a run of units; a long run is shortened from its end when another worker has
// nothing to do. No byte is written twice: claim() gives out each once, also where two
// workers fetch the same unit.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "content/pace.h"

namespace berth::content {

class Plan {
 public:
  using Worker = std::uint32_t;
  struct Run {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    bool empty() const { return begin >= end; }
    friend bool operator==(const Run&, const Run&) = default;
  };

  Plan(std::uint64_t size, std::uint64_t unit_bytes);
  // 8 or 16 MiB; more for blobs of several TiB, so that the bookkeeping stays small.
  static std::uint64_t unit_bytes_for(std::uint64_t size);

  std::uint64_t size() const { return size_; }
  std::uint64_t unit_bytes() const { return unit_bytes_; }
  std::uint64_t unit_count() const { return units_.size(); }
  std::uint64_t held(std::uint64_t unit) const { return units_[unit].held; }
  std::uint64_t held() const { return held_; }  // of all units
  std::uint64_t prefix() const;                 // held without a gap from the first byte
  bool complete() const { return held_ == size_; }
  std::uint64_t length(std::uint64_t unit) const;  // the last one may be shorter

  // What an earlier process had: before any worker begins.
  void hold(std::uint64_t unit, std::uint64_t bytes);

  // The worker's next bytes. nullopt: there is nothing that it could help with.
  std::optional<Run> next(Worker worker, rt::SteadyTime now);
  // A second connection for the rest that a lone slow worker has: what both fetch is taken from
  // whichever is first. Only where next() has nothing.
  std::optional<Run> beside(Worker worker, rt::SteadyTime now);
  // Somebody waits for the bytes at `offset`: their unit comes before others, unless its worker is
  // there soon. The last few that were asked for count.
  void prefer(std::uint64_t offset);
  // Whether a unit that is waited for has no worker.
  bool urgent();
  // Where the worker's run ends by now.
  std::uint64_t end_of(Worker worker) const;
  // Gives the whole blob to one worker: its server knows no ranges.
  void take_all(Worker worker);

  // Whether bytes of this place's unit are being written: then claim() has to wait.
  bool busy(std::uint64_t offset) const;
  // The part of these bytes that nobody has; they lie in one unit. To be written and landed.
  Run claim(std::uint64_t offset, std::uint64_t length);
  void landed(Run bytes);

  // The worker received this many bytes and is now at `offset`.
  void moved(Worker worker, std::uint64_t offset, std::uint64_t bytes, rt::SteadyTime now);
  // The worker is gone; what is left of its run is free again.
  void release(Worker worker);

  // Workers that are to be left: they stand still or crawl while others move.
  std::vector<Worker> laggards(rt::SteadyTime now) const;
  // The only worker is much slower than `usual` (bytes a second).
  bool lone_and_slow(double usual, rt::SteadyTime now) const;

 private:
  struct Unit {
    std::uint64_t held = 0;
    std::uint64_t claimed = 0;
    bool owned = false;
  };
  struct Owner {
    std::uint64_t first = 0;  // units
    std::uint64_t last = 0;   // behind the last one
    std::uint64_t at = 0;     // bytes
    bool beside = false;
    Pace pace;
  };

  std::uint64_t begin_of(std::uint64_t unit) const { return unit * unit_bytes_; }
  bool is_free(std::uint64_t unit) const {
    return !units_[unit].owned && units_[unit].held < length(unit);
  }
  std::uint64_t run_units(const Owner& owner, rt::SteadyTime now) const;
  std::optional<std::uint64_t> first_free() const;
  std::optional<std::uint64_t> take_preferred();
  Owner* richest();
  bool free_some(rt::SteadyTime now);
  Run give(Owner& owner, std::uint64_t first, std::uint64_t last, rt::SteadyTime now);
  void free_run(Owner& owner);

  std::uint64_t size_;
  std::uint64_t unit_bytes_;
  std::vector<Unit> units_;
  std::uint64_t held_ = 0;
  mutable std::uint64_t prefix_unit_ = 0;  // all before it are held
  std::map<Worker, Owner> owners_;
  std::deque<std::uint64_t> preferred_;  // units
  bool whole_ = false;                   // it comes as a whole, in order
};

}  // namespace berth::content
