#include "remote/host_memory.h"

#include <algorithm>

#include "base/log.h"
#include "fs/file.h"
#include "json/json.h"
#include "rt/async.h"

namespace berth::remote {
namespace {

constexpr std::string_view kFile = "hosts.json";
constexpr std::size_t kMaxFile = 256 * 1024;
constexpr std::size_t kMaxHosts = 256;
constexpr std::size_t kMaxName = 300;
constexpr std::int64_t kLifetime = 7 * 24 * 3600;

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

bool is_fresh(std::int64_t since) { return since <= now() && now() - since < kLifetime; }

std::string_view word_of(Quirks::Chunks chunks) {
  return chunks == Quirks::Chunks::kAlways  ? "always"
         : chunks == Quirks::Chunks::kNever ? "never"
                                            : "";
}

json::Object to_json(const Quirks& found, std::int64_t since) {
  return {{"since", since},
          {"chunks", word_of(found.chunks)},
          {"chunk_bytes", found.chunk_bytes},
          {"ranges", found.ranges}};
}

Result<std::pair<Quirks, std::int64_t>> from_json(const json::View& view) {
  Quirks found;
  TRY(const std::string chunks, view.string_or("chunks", ""));
  if (chunks == "always") found.chunks = Quirks::Chunks::kAlways;
  if (chunks == "never") found.chunks = Quirks::Chunks::kNever;
  TRY(found.chunk_bytes, view.u64_or("chunk_bytes", 0));
  TRY(found.ranges, view.boolean_or("ranges", true));
  TRY(const std::int64_t since, view.i64_or("since", 0));
  return std::pair(found, since);
}

}  // namespace

FileHostMemory::FileHostMemory(rt::Loop& loop, std::string folder)
    : loop_(loop), folder_(std::move(folder)), entries_(read(folder_)) {}

FileHostMemory::Entries FileHostMemory::read(const std::string& folder) {
  const auto dir = fs::Dir::open(folder);
  if (!dir) return {};
  const auto text = dir->read_small(kFile, kMaxFile);
  if (!text) return {};
  const auto value = json::parse(*text, kFile, {.bytes = kMaxFile, .depth = 8});
  if (!value) return {};
  const auto hosts = json::View(*value, "").find("hosts");
  const auto members =
      hosts ? hosts->object() : Result<std::vector<std::pair<std::string, json::View>>>{};
  Entries entries;
  if (!members) return entries;
  for (const auto& [name, view] : *members) {
    const auto entry = from_json(view);
    if (!entry || name.size() > kMaxName || !is_fresh(entry->second)) continue;
    if (entries.size() == kMaxHosts) break;
    entries[name] = {.found = entry->first, .since = entry->second};
  }
  return entries;
}

Status FileHostMemory::write(const std::string& folder, Entries entries) {
  while (entries.size() > kMaxHosts) {
    entries.erase(std::ranges::min_element(entries, {},
                                           [](const auto& entry) { return entry.second.since; }));
  }
  json::Object hosts;
  for (const auto& [name, entry] : entries) hosts[name] = to_json(entry.found, entry.since);
  TRY(const fs::Dir dir, fs::Dir::create(folder));
  return dir.replace(kFile, json::pretty(json::Object{{"hosts", std::move(hosts)}}));
}

Quirks FileHostMemory::recall(const std::string& authority, Quirks known) const {
  const auto kept = entries_.find(authority);
  if (kept == entries_.end()) return known;
  const Quirks& found = kept->second.found;
  if (found.chunks != Quirks::Chunks::kFallback) known.chunks = found.chunks;
  known.chunk_bytes = found.chunk_bytes;
  known.ranges = found.ranges;
  return known;
}

Task<void> FileHostMemory::remember(rt::Op&, std::string authority, Quirks found) {
  if (authority.size() > kMaxName) co_return;
  const Entry entry{.found = found, .since = now()};
  entries_[authority] = entry;
  // Others may have written meanwhile: only this host is ours to change.
  const Status written = co_await rt::blocking(loop_, [folder = folder_, authority, entry] {
    Entries all = read(folder);
    all[authority] = entry;
    return write(folder, std::move(all));
  });
  if (!written)
    log::info("cannot keep what was learned about {}: {}", authority, written.error().message());
}

}  // namespace berth::remote
