#include "api/recorder.h"

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "http/sse.h"

namespace berth::api {
namespace {

void cut(std::string& text) {
  if (text.size() <= Recorder::kMaxBody) return;
  text.resize(Recorder::kMaxBody);
  text += "…";
}

json::Object to_json(const Record& record) {
  return {{"id", record.id},
          {"model", record.model},
          {"method", record.method},
          {"url", record.url},
          {"request", record.request},
          {"response", record.response},
          {"error", record.error},
          {"timestamp", format_rfc3339(record.time)},
          {"status_code", record.status},
          {"user_agent", record.user_agent},
          {"origin", record.origin}};
}

template <class Records>
json::Object group(const std::string& model, const Records& records) {
  json::Array array;
  for (const auto& kept : records) array.push_back(to_json(kept.record));
  return {{"count", array.size()},
          {"model", model},
          {"config", json::Object()},
          {"records", std::move(array)}};
}

}  // namespace

class Recorder::Follower : public rt::Reader {
 public:
  Follower(Recorder& recorder, std::string model, Existing existing)
      : recorder_(recorder),
        model_(std::move(model)),
        existing_until_(recorder.next_),
        next_(existing == Existing::kInclude ? 0 : recorder.next_),
        pending_(http::sse_event(R"({"status":"connected"})", "connected")) {}

  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    while (pending_.empty()) {
      pending_ = recorder_.events_since(model_, next_, existing_until_);
      next_ = recorder_.next_;
      if (!pending_.empty()) break;
      if (!recorder_.enabled_ || recorder_.ended_) co_return 0;
      CO_TRY_OK(co_await recorder_.news_.wait(op));
    }
    const std::size_t count = std::min(into.size(), pending_.size());
    std::memcpy(into.data(), pending_.data(), count);
    pending_.erase(0, count);
    co_return count;
  }

 private:
  Recorder& recorder_;
  std::string model_;
  std::uint64_t existing_until_;
  std::uint64_t next_;
  std::string pending_;
};

void Recorder::enable(bool on) {
  enabled_ = on;
  if (!on) models_.clear();
  news_.notify_all();
}

void Recorder::end_following() {
  ended_ = true;
  news_.notify_all();
}

void Recorder::add(std::string model, Record record) {
  if (!enabled_) return;
  if (models_.size() >= kModels && !models_.contains(model)) models_.erase(models_.begin());
  cut(record.request);
  cut(record.response);
  const std::uint64_t number = next_++;
  record.id = fmt::format("{}", number);
  auto& records = models_[model];
  records.push_back({number, std::move(record)});
  if (records.size() > kPerModel) records.pop_front();
  news_.notify_all();
}

json::Array Recorder::list(const std::string& model) const {
  json::Array array;
  for (const auto& [name, records] : models_) {
    const bool asked =
        std::ranges::any_of(records, [&](const Kept& kept) { return kept.record.model == model; });
    if (model.empty() || name == model || asked) array.push_back(group(name, records));
  }
  return array;
}

std::string Recorder::events_since(const std::string& model, std::uint64_t number,
                                   std::uint64_t existing_until) const {
  std::map<std::uint64_t, std::string> events;
  for (const auto& [name, records] : models_) {
    for (const Kept& kept : records) {
      if (kept.number < number) continue;
      if (!model.empty() && name != model && kept.record.model != model) continue;
      const char* event = kept.number < existing_until ? "existing_request" : "new_request";
      const json::Array data = {group(name, std::vector{kept})};
      events[kept.number] = http::sse_event(json::serialize(data), event);
    }
  }
  std::string text;
  for (const auto& [at, event] : events) text += event;
  return text;
}

std::unique_ptr<rt::Reader> Recorder::follow(std::string model, Existing existing) {
  return std::make_unique<Follower>(*this, std::move(model), existing);
}

}  // namespace berth::api
