// Whose request it is when proxies stand in between: X-Forwarded-For, believed only as far as those
// proxies wrote it.
//
// Pure. What else is in the header came from the caller and may be anything.
#pragma once

#include <span>
#include <string>

#include "http/message.h"
#include "http/network.h"

namespace berth::http {

bool is_in(std::string_view address, std::span<const Network> networks);

// The address that called: the peer's, or behind `proxies` the last one in X-Forwarded-For that is
// none of theirs. At most kForwardedHops entries are looked at; at one that is no address it is the
// proxy that wrote it. An address in its usual form, without a port.
inline constexpr std::size_t kForwardedHops = 32;
std::string client_address(const Request& request, std::span<const Network> proxies);

}  // namespace berth::http
