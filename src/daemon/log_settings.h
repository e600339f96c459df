// The settings' log, put into force. Private to daemon.
#pragma once

#include "base/log.h"
#include "config/settings.h"

namespace berth::daemon {

void configure_log(const config::Settings::Log& log);
log::Format log_format(const config::Settings::Log& log);

}  // namespace berth::daemon
