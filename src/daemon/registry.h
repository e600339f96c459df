// `berth registry serve`: composition and life of the registry as a program of its own.
//
// Called from main's thread, which becomes the loop's. Ready: one line for each listener on stderr,
// READY=1 to systemd. SIGTERM and SIGINT: no new connections, what is in flight gets
// registry_server.drain; a second signal skips the waiting. SIGHUP: reads certificates and users
// again; what cannot be read leaves the old ones.
#pragma once

#include "base/error.h"
#include "config/settings.h"

namespace berth::daemon {

// Returns when the registry has ended.
Status serve_registry(config::Inputs inputs);

}  // namespace berth::daemon
