// `control` in this process: the product's verbs over the store, registries, models and engines.
//
// Made in main for a command, or by the daemon for its life. Opening blocks for about as long as
// opening the store. shutdown() must have been awaited before it goes: it leaves no engine behind.
#pragma once

#include <memory>

#include "config/settings.h"
#include "control/control.h"
#include "local/launcher.h"
#include "local/system.h"
#include "local/transfers.h"

namespace berth::local {

class Local {
 public:
  static Result<std::unique_ptr<Local>> open(rt::Loop& loop, config::Configuration configuration,
                                             Role role);
  ~Local();

  control::Services services();
  Launcher& launcher();
  Transfers& transfers();
  runner::Runner& runner();
  Shared& shared();
  System& system();

  // Lets what is in flight end until `op` ends, then stops every engine.
  rt::Task<Status> shutdown(rt::Op& op);

 private:
  struct Parts;
  explicit Local(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace berth::local
