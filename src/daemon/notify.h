// Tells systemd how the service is (sd_notify(3)): one datagram to NOTIFY_SOCKET. Private to
// daemon.
#pragma once

#include <string_view>

#include "config/paths.h"

namespace berth::daemon {

// Nothing happens without NOTIFY_SOCKET; a failure is logged only: the daemon works without being
// watched.
void notify(const config::Environment& environment, std::string_view state);

}  // namespace berth::daemon
