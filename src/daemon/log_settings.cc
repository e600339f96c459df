#include "daemon/log_settings.h"

namespace berth::daemon {

log::Format log_format(const config::Settings::Log& log) {
  return log.format == "json" ? log::Format::kJson : log::Format::kHuman;
}

void configure_log(const config::Settings::Log& log) {
  constexpr std::pair<std::string_view, log::Level> kLevels[] = {{"debug", log::Level::kDebug},
                                                                 {"info", log::Level::kInfo},
                                                                 {"warning", log::Level::kWarning},
                                                                 {"error", log::Level::kError},
                                                                 {"off", log::Level::kOff}};
  for (const auto& [name, level] : kLevels) {
    if (name == log.level) log::configure(level, log_format(log));
  }
}

}  // namespace berth::daemon
