// Who is told of a registry's events: [registry_server.webhook."NAME"] in config.toml. Private to
// config; pure.
#pragma once

#include <string_view>

#include "config/table.h"

namespace berth::config {

// Letters, digits, - and _; kInvalid otherwise.
Result<std::string> webhook_name(std::string_view text);
// Sets one key, as set_host_key does.
Result<Origin> set_webhook_key(Webhook& webhook, std::string_view key, const Written& written);
// What has to be there.
Status check_webhook(const Webhook& webhook);

}  // namespace berth::config
