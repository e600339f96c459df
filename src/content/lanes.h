// How many connections to one host are worth it. Begins with one, grows fourfold as long as the
// goodput of all together grows by it, goes back when it does not, and tries again after a while.
//
// A pure state machine: the time is given. One for each host, shared by all transfers from it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "content/pace.h"

namespace berth::content {

class Lanes {
 public:
  explicit Lanes(std::size_t most) : most_(most) {}

  std::size_t most() const { return most_; }
  std::size_t open() const { return open_; }
  std::size_t wanted() const { return wanted_; }

  // A connection that there has to be: the first of a blob.
  void take() { ++open_; }
  // One more beside the first; false when that is not worth it now.
  bool try_take();
  void give_back() { --open_; }
  // More are open than are worth it: whoever is one of several for its blob should end.
  bool too_many() const { return open_ > wanted_; }

  void moved(std::uint64_t bytes, rt::SteadyTime now);
  // A connection broke or was refused: fewer for a while.
  void failed(rt::SteadyTime now);
  // The best that one connection to this host gave so far, in bytes a second.
  double best() const { return best_; }

 private:
  // Long enough for a new connection to get going at a round trip of 50 ms.
  static constexpr std::chrono::milliseconds kTrial{300};
  static constexpr std::chrono::seconds kRest{8};
  static constexpr double kWorthIt = 1.12;
  static constexpr std::size_t kGrowth = 4;
  // Bytes a second of all together, from which on the hash and not the network is waited for.
  static constexpr double kEnough = 400e6;

  void judge(double rate, rt::SteadyTime now);
  void try_more(rt::SteadyTime now);

  std::size_t most_;
  std::size_t open_ = 0;
  std::size_t wanted_ = 1;
  std::size_t before_ = 1;   // wanted_ before the trial
  double rate_before_ = 0;   // with before_ connections
  bool trying_ = true;       // the first window measures one connection
  std::uint64_t bytes_ = 0;  // of the present window
  rt::SteadyTime since_{};
  rt::SteadyTime rest_until_{};
  double best_ = 0;
};

}  // namespace berth::content
