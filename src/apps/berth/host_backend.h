// What --host means: everything at that server, but what is made of files is made here and sent.
//
// Loop thread. A package is streamed from the files, nothing is copied here; with --push it goes to
// the registry from here and not through the server. What --from names is fetched from the server
// into a store that lasts as long as the command (local/workshop.h).
#pragma once

#include <memory>

#include "cli/cli.h"
#include "client/client.h"
#include "config/settings.h"
#include "control/control.h"
#include "rt/loop.h"

namespace berth {

class HostBackend : public cli::Backend {
 public:
  HostBackend(rt::Loop& loop, config::Configuration configuration,
              std::unique_ptr<client::Client> client);
  ~HostBackend() override;

  control::Services& services() override;
  rt::Task<Status> close(rt::Op& op) override;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace berth
