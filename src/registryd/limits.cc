#include "registryd/limits.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace berth::registryd {
namespace {

constexpr std::chrono::seconds kUploadPause{5};  // a guess: nobody knows when one of them ends

std::unexpected<Error> too_much(std::string message, std::chrono::seconds wait) {
  return std::unexpected(Error(Code::kRateLimited, std::move(message)).with_retry_after(wait));
}

}  // namespace

Limits::Client& Limits::client_of(const std::string& name, rt::SteadyTime now) {
  if (const auto known = by_name_.find(name); known != by_name_.end()) {
    clients_.splice(clients_.begin(), clients_, known->second);
    return clients_.front();
  }
  if (clients_.size() >= kClients) {
    forget_uploads(clients_.back());
    by_name_.erase(clients_.back().name);
    clients_.pop_back();
  }
  clients_.push_front({.name = name,
                       .tokens = static_cast<double>(limits_.requests * kBurst),
                       .filled = now,
                       .uploads = {}});
  by_name_.emplace(clients_.front().name, clients_.begin());
  return clients_.front();
}

void Limits::fill(Client& client, rt::SteadyTime now) const {
  const std::chrono::duration<double> since = std::max(now - client.filled, {});
  const auto rate = static_cast<double>(limits_.requests);
  client.tokens = std::min(client.tokens + since.count() * rate, rate * kBurst);
  client.filled = now;
}

Status Limits::check_requests(const std::string& name, rt::SteadyTime now, Repeat repeat) {
  if (limits_.requests == 0) return {};
  Client& client = client_of(name, now);
  fill(client, now);
  const double debt = repeat == Repeat::kHard ? static_cast<double>(limits_.requests * kBurst) : 0;
  if (client.tokens + debt >= 1) return {};
  const double wait = (1 - client.tokens - debt) / static_cast<double>(limits_.requests);
  return too_much(fmt::format("{} asks for more than {} requests a second: wait and ask again",
                              printable(name, 80), limits_.requests),
                  std::chrono::seconds(static_cast<std::int64_t>(std::ceil(wait))));
}

Status Limits::take_request(const std::string& name, rt::SteadyTime now, Repeat repeat) {
  TRY_OK(check_requests(name, now, repeat));
  if (limits_.requests > 0) client_of(name, now).tokens -= 1;
  return {};
}

void Limits::forget_uploads(Client& client) {
  for (const auto& [id, time] : client.uploads) owners_.erase(id);
  client.uploads.clear();
}

void Limits::make_room_for_upload() {
  if (owners_.size() < kUploads) return;
  const auto oldest = std::find_if(clients_.rbegin(), clients_.rend(),
                                   [](const Client& client) { return !client.uploads.empty(); });
  if (oldest != clients_.rend()) forget_uploads(*oldest);
}

void Limits::forget_idle(Client& client, rt::SteadyTime now) {
  std::erase_if(client.uploads, [&](const auto& upload) {
    const bool idle = now - upload.second >= kIdle;
    if (idle) owners_.erase(upload.first);
    return idle;
  });
}

Status Limits::check_uploads(const std::string& name, rt::SteadyTime now) {
  if (limits_.uploads == 0) return {};
  Client& client = client_of(name, now);
  if (client.uploads.size() < limits_.uploads) return {};
  forget_idle(client, now);
  if (client.uploads.size() < limits_.uploads) return {};
  return too_much(fmt::format("{} has {} uploads in progress: begin another when one has ended",
                              printable(name, 80), client.uploads.size()),
                  kUploadPause);
}

void Limits::upload_began(const std::string& name, const std::string& id, rt::SteadyTime now) {
  if (limits_.uploads == 0) return;
  make_room_for_upload();
  client_of(name, now).uploads.insert_or_assign(id, now);
  owners_.insert_or_assign(id, name);
}

void Limits::upload_goes_on(std::string_view id, rt::SteadyTime now) {
  const auto owner = owners_.find(id);
  if (owner == owners_.end()) return;
  auto& uploads = client_of(owner->second, now).uploads;
  if (const auto upload = uploads.find(id); upload != uploads.end()) upload->second = now;
}

void Limits::upload_ended(std::string_view id) {
  const auto owner = owners_.find(id);
  if (owner == owners_.end()) return;
  if (const auto client = by_name_.find(owner->second); client != by_name_.end()) {
    auto& uploads = client->second->uploads;
    if (const auto upload = uploads.find(id); upload != uploads.end()) uploads.erase(upload);
  }
  owners_.erase(owner);
}

}  // namespace berth::registryd
