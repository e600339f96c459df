#include "local/events.h"

namespace berth::local {
namespace {

control::Event::Kind kind_of(content::Event::Kind kind) {
  switch (kind) {
    case content::Event::Kind::kDone:
      return control::Event::Kind::kLayerDone;
    case content::Event::Kind::kExists:
      return control::Event::Kind::kLayerExists;
    case content::Event::Kind::kMounted:
      return control::Event::Kind::kLayerMounted;
    case content::Event::Kind::kRetry:
      return control::Event::Kind::kWarning;
    case content::Event::Kind::kStart:
    case content::Event::Kind::kResumed:
    case content::Event::Kind::kBytes:
      return control::Event::Kind::kLayer;
  }
  return control::Event::Kind::kMessage;
}

}  // namespace

void EventBridge::name(const model::Model& model) {
  for (const model::File& file : model.files) names_[file.descriptor.digest] = file.path;
  names_[model.config.digest] = "config";
}

void EventBridge::message(std::string text) {
  events_.on({.kind = control::Event::Kind::kMessage, .message = std::move(text)});
}

void EventBridge::warning(std::string text) {
  events_.on({.kind = control::Event::Kind::kWarning, .message = std::move(text)});
}

void EventBridge::grow_total(std::uint64_t bytes) {
  total_ += bytes;
  events_.on({.kind = control::Event::Kind::kTotal, .size = total_});
}

void EventBridge::resumed(const content::Event& event) {
  seen_[event.blob.digest] = event.current;
  const auto name = names_.find(event.blob.digest);
  message(fmt::format("{} of {} are here from an earlier try", format_size(event.current),
                      name == names_.end() ? event.blob.digest.short_hex() : name->second));
}

void EventBridge::on(const content::Event& event) {
  using Kind = content::Event::Kind;
  if (event.kind == Kind::kStart) grow_total(event.blob.size);
  if (event.kind == Kind::kResumed) resumed(event);
  if (event.kind == Kind::kBytes || event.kind == Kind::kDone) {
    std::uint64_t& seen = seen_[event.blob.digest];
    if (event.current > seen) transferred_ += event.current - seen;
    seen = std::max(seen, event.current);
  }
  // What a registry holds from an earlier try did not travel now.
  if (event.kind == Kind::kRetry) {
    std::uint64_t& seen = seen_[event.blob.digest];
    seen = std::max(seen, event.current);
  }
  control::Event out{.kind = kind_of(event.kind), .message = event.message};
  out.layer = event.blob.digest.string();
  const auto name = names_.find(event.blob.digest);
  if (name != names_.end()) out.name = name->second;
  out.current =
      event.kind == Kind::kExists || event.kind == Kind::kMounted ? event.blob.size : event.current;
  out.size = event.blob.size;
  events_.on(out);
}

}  // namespace berth::local
