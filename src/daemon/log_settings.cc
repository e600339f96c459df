#include "daemon/log_settings.h"

#include "base/log.h"

namespace berth::daemon {

void configure_log(const config::Settings::Log& log) {
  constexpr std::pair<std::string_view, log::Level> kLevels[] = {{"debug", log::Level::kDebug},
                                                                 {"info", log::Level::kInfo},
                                                                 {"warning", log::Level::kWarning},
                                                                 {"error", log::Level::kError},
                                                                 {"off", log::Level::kOff}};
  for (const auto& [name, level] : kLevels) {
    if (name == log.level)
      log::configure(level, log.format == "json" ? log::Format::kJson : log::Format::kHuman);
  }
}

}  // namespace berth::daemon
