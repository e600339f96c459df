// Values that the tables of hosts and of webhooks have in common. Private to config; pure.
#pragma once

#include <utility>

#include "base/secret.h"
#include "config/table.h"

namespace berth::config {

using Headers = std::vector<std::pair<std::string, Secret>>;

// The only item; kInvalid for a list.
Result<std::string> one(const Written& written);
std::string joined(const std::vector<std::string>& items);
// "X-Name: value" each; kInvalid when one is no header field.
Result<Headers> header_lines(const Written& written);
// For showing: without their values.
std::string names_of(const Headers& headers);

}  // namespace berth::config
