// The program's log: diagnostics for operators on stderr, one line each, human or JSON. It is not
// the user's output (cli prints that). Thread-safe. Text from outside must go through printable();
// secrets are a Secret and cannot be formatted.
#pragma once

#include <fmt/format.h>
#include <functional>
#include <string_view>

namespace berth::log {

enum class Level { kDebug, kInfo, kWarning, kError, kOff };
enum class Format { kHuman, kJson };

// Default: kWarning, kHuman, to stderr.
void configure(Level level, Format format);
bool enabled(Level level);
void write(Level level, std::string_view line);
// Also called with every line that is written ("warning: …"), on the thread that writes it; nullptr
// ends that, and nothing is being called any more when it returns. It must not log.
void tap(std::function<void(std::string_view line)> listener);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kDebug))
    write(Level::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kInfo)) write(Level::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kWarning))
    write(Level::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kError))
    write(Level::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace berth::log
