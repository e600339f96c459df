// `berth serve`: composition and life of the daemon.
//
// Called from main's thread, which becomes the loop's. One daemon a store (a lock names the other's
// pid). Ready: one line for each listener on stderr, READY=1 to systemd. SIGTERM and SIGINT: no new
// connections, streams that only follow (logs, requests) end, what is in flight gets server.drain,
// then it is cancelled; engines are stopped last
// and no child is left; a second signal skips the waiting. SIGHUP: reads the configuration again;
// when that fails the old one stays.
#pragma once

#include "base/error.h"
#include "config/settings.h"

namespace berth::daemon {

// Returns when the daemon has ended. `inputs` is kept for reloads.
Status serve(config::Inputs inputs);

}  // namespace berth::daemon
