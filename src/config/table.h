// The table of all settings, and how a text becomes a value. Private to config.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.h"

namespace berth::config {

// A value as it was written: one item, or the items of a TOML array.
struct Written {
  std::vector<std::string> items;
  bool is_list = false;
};

struct Key {
  std::string path;                      // "server.listen"
  std::vector<std::string> environment;  // the first that is set wins
  std::string doc;
  // Fails with what was expected ("expected a whole number from 1 to 64").
  std::function<Status(Settings&, const Written&)> set;
  std::function<std::string(const Settings&)> show;
};

const std::vector<Key>& table();
// nullptr when there is none.
const Key* find_key(std::string_view path);
// The known key whose spelling is nearest.
std::string nearest_key(std::string_view path);

}  // namespace berth::config
