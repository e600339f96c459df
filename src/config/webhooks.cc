#include "config/webhooks.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "config/values.h"

namespace berth::config {
namespace {

constexpr std::size_t kMaxName = 64;
constexpr std::uint64_t kMostAttempts = 1000;
constexpr std::array<std::string_view, 4> kEvents = {"push", "move", "delete", "pull"};

Result<std::string> set_url(Webhook& webhook, const Written& written) {
  TRY(webhook.url, one(written));
  return webhook.url;
}

Result<std::string> set_format(Webhook& webhook, const Written& written) {
  TRY(webhook.format, one(written));
  if (webhook.format == "cloudevents" || webhook.format == "distribution") return webhook.format;
  return fail(Code::kInvalid, "expected cloudevents or distribution");
}

Result<std::string> set_events(Webhook& webhook, const Written& written) {
  for (const std::string& event : written.items) {
    if (std::ranges::find(kEvents, event) == kEvents.end())
      return fail(Code::kInvalid, "there is no event \"{}\"; there are push, move, delete and pull",
                  printable(event, 60));
  }
  webhook.events = written.items;
  return joined(webhook.events);
}

Result<std::string> set_repositories(Webhook& webhook, const Written& written) {
  webhook.repositories = written.items;
  return joined(webhook.repositories);
}

Result<std::string> set_headers(Webhook& webhook, const Written& written) {
  TRY(webhook.headers, header_lines(written));
  return names_of(webhook.headers);
}

Result<std::string> set_secret(Webhook& webhook, const Written& written) {
  TRY(std::string value, one(written));
  if (value.empty()) return fail(Code::kInvalid, "expected a text that only both sides know");
  webhook.secret = Secret(std::move(value));
  return "(set)";
}

Result<std::string> set_attempts(Webhook& webhook, const Written& written) {
  TRY(const std::string value, one(written));
  const auto count = parse_u64(value);
  if (!count || *count == 0 || *count > kMostAttempts)
    return fail(Code::kInvalid, "expected a whole number from 1 to {}", kMostAttempts);
  webhook.attempts = *count;
  return value;
}

struct WebhookKey {
  std::string_view name;
  std::string_view doc;
  Result<std::string> (*set)(Webhook&, const Written&);
};
constexpr std::array<WebhookKey, 7> kKeys = {{
    {"url", "where events are posted to", set_url},
    {"format", "cloudevents, or distribution for its notifications", set_format},
    {"events", "which: push, move (of a tag), delete, pull", set_events},
    {"repositories", "patterns of the repositories; none: all", set_repositories},
    {"headers", "header fields for each request to it, as \"Name: value\"", set_headers},
    {"secret", "signs each request (webhook-signature)", set_secret},
    {"attempts", "after so many in vain an event is a dead letter", set_attempts},
}};

}  // namespace

Result<std::string> webhook_name(std::string_view text) {
  const bool fits =
      !text.empty() && text.size() <= kMaxName && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_';
      });
  if (fits) return std::string(text);
  return fail(Code::kInvalid,
              "\"{}\" is no name of a webhook; write letters, digits, - and _, {} at most",
              printable(text, 100), kMaxName);
}

Result<Origin> set_webhook_key(Webhook& webhook, std::string_view key, const Written& written) {
  const auto* found = std::ranges::find(kKeys, key, &WebhookKey::name);
  if (found == kKeys.end()) {
    std::vector<std::string_view> names;
    for (const WebhookKey& known : kKeys) names.push_back(known.name);
    return fail(Code::kInvalid, "there is no such setting; a webhook has {}",
                fmt::join(names, ", "));
  }
  TRY(std::string value, found->set(webhook, written));
  return Origin{.key = {}, .value = std::move(value), .source = {}, .doc = std::string(found->doc)};
}

Status check_webhook(const Webhook& webhook) {
  if (!webhook.url.empty()) return {};
  return fail(Code::kInvalid, "url is missing: where its events are posted to");
}

}  // namespace berth::config
