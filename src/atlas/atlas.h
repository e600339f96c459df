// Knows the models of a registry: looks at each manifest that is pushed and keeps what it found.
//
// Loop thread. A look begins beside the storing of the manifest and is recorded when that is done,
// so that a push is not slower for it. What a crash or a rush left out is looked at later: the
// depot remembers what nobody has looked at. close() must have been awaited before it goes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "atlas/inspector.h"
#include "depot/depot.h"
#include "rt/async.h"

namespace berth::atlas {

// What becomes of a model that is not what it says.
enum class Check {
  kOff,     // nobody looks
  kWarn,    // the record and, if it is known by then, the answer say so
  kRefuse,  // it is not stored
};
Check check_from(std::string_view word);  // "off", "warn", "refuse"

// One manifest that is being pushed. Going without stored(): it was not.
class Look {
 public:
  Look() = default;  // nobody looks
  Look(Look&&) = default;
  Look& operator=(Look&&) = delete;
  ~Look();

  // Waits until the model was looked at. Failure: that of the looking.
  rt::Task<Status> wait(rt::Op& op);
  // What is known by now.
  std::vector<std::string> findings() const;
  void stored();

 private:
  friend class Atlas;
  struct State;
  explicit Look(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

class Atlas {
 public:
  Atlas(rt::Loop& loop, depot::Depot depot, Check check);

  // Goes on with what was left out, until close().
  void start();
  rt::Task<Status> close();

  Check check() const { return check_; }
  // Notes in a manifest that is no model that nobody has to look at it.
  Look look(std::string repository, depot::PushedManifest& pushed);
  // What Ollama's client gets in place of a manifest; its config is in the repository when this
  // returns. nullopt: it is no model that Ollama could run.
  rt::Task<Result<std::optional<depot::StoredManifest>>> for_ollama(
      rt::Op& op, std::string repository, std::shared_ptr<const depot::StoredManifest> manifest);
  // Waits, not for long, until what was pushed before is known: who searches right after a push
  // shall find it.
  rt::Task<Status> settled(rt::Op& op);

 private:
  static rt::Task<Status> examine(Atlas& atlas, std::shared_ptr<Look::State> state);
  static rt::Task<Status> catch_up(Atlas& atlas);
  rt::Task<Status> look_again(depot::ManifestPlace place);
  rt::Task<Status> look_at_rest();

  rt::Loop& loop_;
  depot::Depot depot_;
  Check check_;
  Inspector inspector_;
  rt::Limiter at_once_;
  rt::Scope looks_;
  rt::Op op_;
  rt::Event changed_;
  std::size_t pending_ = 0;
  bool rest_ = true;  // some may not have been looked at
  bool catching_up_ = false;
};

}  // namespace berth::atlas
