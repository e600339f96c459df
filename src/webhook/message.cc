#include "webhook/message.h"

#include "base/text.h"
#include "crypto/hash.h"
#include "json/json.h"

namespace berth::webhook {
namespace {

using depot::Event;

std::string id_of(const Event& event, std::string_view instance) {
  return fmt::format("{}-{}", instance, event.id);
}

std::string time_of(const Event& event) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(event.at);
  std::string text = format_rfc3339(seconds);
  if (text.ends_with('Z')) text.pop_back();
  return fmt::format("{}.{:03}Z", text, (event.at - seconds).count());
}

std::string host_of(const Event& event) {
  const std::string& address = event.origin.address;
  const std::size_t scheme = address.find("://");
  return scheme == std::string::npos ? address : address.substr(scheme + 3);
}

std::string_view type_of(const Event& event) {
  switch (event.kind) {
    case Event::Kind::kPush:
      return "berth.registry.manifest.pushed";
    case Event::Kind::kMove:
      return "berth.registry.tag.moved";
    case Event::Kind::kPull:
      return "berth.registry.manifest.pulled";
    case Event::Kind::kDelete:
      return event.tag.empty() ? "berth.registry.manifest.deleted" : "berth.registry.tag.deleted";
  }
  return "";
}

void put_if(json::Object& object, std::string_view name, const std::string& value) {
  if (!value.empty()) object[name] = value;
}

json::Object data_of(const Event& event) {
  json::Object data{{"repository", event.repository}};
  put_if(data, "tag", event.tag);
  put_if(data, "digest", event.digest);
  put_if(data, "previousDigest", event.before);
  put_if(data, "mediaType", event.media_type);
  if (event.size > 0) data["size"] = event.size;
  json::Object request;
  put_if(request, "id", event.origin.request);
  put_if(request, "address", event.origin.peer);
  put_if(request, "host", host_of(event));
  put_if(request, "method", event.origin.method);
  put_if(request, "userAgent", event.origin.user_agent);
  put_if(data, "actor", event.origin.actor);
  if (!request.empty()) data["request"] = std::move(request);
  return data;
}

// distribution knows push, pull, delete and mount.
json::Object notification(const Event& event, std::string_view instance) {
  json::Object target{{"repository", event.repository}};
  put_if(target, "mediaType", event.media_type);
  put_if(target, "digest", event.digest);
  put_if(target, "tag", event.tag);
  if (event.size > 0) {
    target["size"] = event.size;
    target["length"] = event.size;
  }
  if (!event.origin.address.empty() && !event.digest.empty()) {
    target["url"] =
        fmt::format("{}/v2/{}/manifests/{}", event.origin.address, event.repository, event.digest);
  }
  return {{"id", id_of(event, instance)},
          {"timestamp", time_of(event)},
          {"action", depot::to_string(event.kind)},
          {"target", std::move(target)},
          {"request", json::Object{{"id", event.origin.request},
                                   {"addr", event.origin.peer},
                                   {"host", host_of(event)},
                                   {"method", event.origin.method},
                                   {"useragent", event.origin.user_agent}}},
          {"actor", json::Object{{"name", event.origin.actor}}},
          {"source", json::Object{{"addr", host_of(event)}, {"instanceID", instance}}}};
}

}  // namespace

Message cloud_event(const Event& event, std::string_view instance) {
  std::string subject = event.repository;
  if (!event.tag.empty()) subject += ":" + event.tag;
  json::Object object{
      {"specversion", "1.0"},
      {"id", id_of(event, instance)},
      {"source", event.origin.address.empty() ? "/registries/" + std::string(instance)
                                              : event.origin.address},
      {"type", type_of(event)},
      {"subject", std::move(subject)},
      {"time", time_of(event)},
      {"datacontenttype", "application/json"},
      {"data", data_of(event)}};
  return {.content_type = "application/cloudevents+json; charset=utf-8",
          .id = id_of(event, instance),
          .body = json::serialize(object)};
}

std::optional<Message> distribution_envelope(std::span<const depot::Delivery> deliveries,
                                             std::string_view instance) {
  json::Array events;
  for (const depot::Delivery& delivery : deliveries) {
    if (delivery.event.kind != Event::Kind::kMove)
      events.push_back(notification(delivery.event, instance));
  }
  if (events.empty()) return std::nullopt;
  return Message{.content_type = "application/vnd.docker.distribution.events.v1+json",
                 .id = id_of(deliveries.front().event, instance),
                 .body = json::serialize(json::Object{{"events", std::move(events)}})};
}

std::string signature(const Message& message, std::int64_t seconds, std::string_view secret) {
  constexpr std::string_view kCoded = "whsec_";
  std::string key(secret);
  if (secret.starts_with(kCoded)) {
    if (auto decoded = base64_decode(secret.substr(kCoded.size()))) key = std::move(*decoded);
  }
  const std::string signed_text = fmt::format("{}.{}.{}", message.id, seconds, message.body);
  return "v1," + base64_encode(as_bytes(crypto::hmac_sha256(key, signed_text)));
}

}  // namespace berth::webhook
