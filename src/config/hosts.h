// The settings of one registry: [registry.host."NAME"] in config.toml. Private to config; pure.
#pragma once

#include <string_view>

#include "config/table.h"

namespace berth::config {

// "registry.example:5000", lower case; kInvalid when it is no host.
Result<std::string> host_name(std::string_view text);
// Sets one key; the Origin has its value and sentence. kInvalid with what was expected, also for a
// key that there is not.
Result<Origin> set_host_key(RegistryHost& host, std::string_view key, const Written& written);
// What has to be together.
Status check_host(const RegistryHost& host);

}  // namespace berth::config
