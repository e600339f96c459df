// What an endpoint is sent: CloudEvents, or the notifications of docker's distribution.
//
// Pure. Sources: CloudEvents 1.0.2 (structured mode, JSON); distribution's notifications
// (events.v1+json); Standard Webhooks 1.0 for the signature.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "depot/depot.h"

namespace berth::webhook {

enum class Format { kCloudEvents, kDistribution };

struct Message {
  std::string content_type;
  std::string id;  // the same in every attempt
  std::string body;
};

// One event each. `instance` is the registry's, random, and stays: with an event's number it is the
// event's id.
Message cloud_event(const depot::Event& event, std::string_view instance);
// All in one envelope. A tag that moved is the push that moved it there, so kMove is left out;
// nullopt when nothing is left.
std::optional<Message> distribution_envelope(std::span<const depot::Delivery> deliveries,
                                             std::string_view instance);

// The webhook-signature of a message that is sent at `seconds` since 1970: "v1,BASE64". A secret
// that begins with "whsec_" is base64 behind it.
std::string signature(const Message& message, std::int64_t seconds, std::string_view secret);

}  // namespace berth::webhook
