#include "base/log.h"

#include <atomic>
#include <mutex>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace berth::log {
namespace {

std::atomic<Level> g_level = Level::kWarning;
std::atomic<Format> g_format = Format::kHuman;

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>(
        "berth", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_level(spdlog::level::trace);
    made->flush_on(spdlog::level::trace);
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
    return made;
  }();
  return *instance;
}

spdlog::level::level_enum level_of(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarning:
      return spdlog::level::warn;
    default:
      return spdlog::level::err;
  }
}

struct Tap {
  std::mutex lock;
  std::function<void(std::string_view)> listener;
};
Tap& the_tap() {
  static Tap tap;
  return tap;
}

std::string_view name_of(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarning:
      return "warning";
    default:
      return "error";
  }
}

std::string json_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace

void configure(Level level, Format format) {
  g_level = level;
  g_format = format;
  logger().set_pattern(
      format == Format::kJson
          ? "{\"time\":\"%Y-%m-%dT%H:%M:%S.%e%z\",\"level\":\"%l\",\"message\":\"%v\"}"
          : "%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
}

bool enabled(Level level) { return level >= g_level.load(); }

void write(Level level, std::string_view line) {
  if (g_format == Format::kJson) {
    logger().log(level_of(level), spdlog::string_view_t(json_escape(line)));
  } else {
    logger().log(level_of(level), spdlog::string_view_t(line.data(), line.size()));
  }
  const std::lock_guard hold(the_tap().lock);
  if (the_tap().listener) the_tap().listener(fmt::format("{}: {}", name_of(level), line));
}

void tap(std::function<void(std::string_view line)> listener) {
  const std::lock_guard hold(the_tap().lock);
  the_tap().listener = std::move(listener);
}

}  // namespace berth::log
