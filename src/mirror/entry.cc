#include "mirror/entry.h"

#include <algorithm>

#include "base/text.h"
#include "oci/reference.h"
#include "remote/docker_config.h"
#include "remote/registry.h"

namespace berth::mirror {
namespace {

constexpr std::string_view kPlain = "http://";
constexpr std::string_view kTls = "https://";
constexpr std::string_view kAnything = "*";

std::unexpected<Error> wrong(std::string_view text, std::string_view why) {
  return fail(Code::kInvalid,
              "\"{}\" in registry_server.mirrors is no mirror: {}; write REGISTRY or "
              "PREFIX=REGISTRY, for example docker.io or hub=docker.io",
              printable(text, 200), why);
}

Result<Entry> parse_entry(std::string_view text) {
  Entry entry;
  const std::size_t equals = text.find('=');
  std::string_view upstream = equals == std::string_view::npos ? text : text.substr(equals + 1);
  entry.plain_http = upstream.starts_with(kPlain);
  if (entry.plain_http) upstream.remove_prefix(kPlain.size());
  if (upstream.starts_with(kTls)) upstream.remove_prefix(kTls.size());
  while (upstream.ends_with('/')) upstream.remove_suffix(1);
  if (upstream.empty() || upstream.find_first_of("/@?# ") != std::string_view::npos)
    return wrong(text, "the registry is a host name, with :port if need be");
  entry.upstream = remote::canonical_registry(upstream);
  entry.prefix = equals == std::string_view::npos ? entry.upstream : text.substr(0, equals);
  if (entry.prefix != kAnything && !oci::is_repository(entry.prefix))
    return wrong(text,
                 "what stands before the names has to be lower-case words joined by / . _ or -");
  return entry;
}

Status add(Entries& entries, Entry entry, const std::string& text) {
  const bool again = std::ranges::any_of(
      entries.all, [&](const Entry& other) { return other.prefix == entry.prefix; });
  if (again) return wrong(text, "there is another one with the same prefix");
  entries.all.push_back(std::move(entry));
  return {};
}

}  // namespace

Result<Entries> parse_entries(const std::vector<std::string>& texts) {
  Entries entries;
  std::string fallback;
  for (const std::string& text : texts) {
    TRY(Entry entry, parse_entry(text));
    if (entry.prefix != kAnything) {
      TRY_OK(add(entries, std::move(entry), text));
      continue;
    }
    if (!fallback.empty()) return wrong(text, "there is another one for all names");
    fallback = entry.upstream;
  }
  if (fallback.empty()) return entries;
  for (const Entry& entry : entries.all)
    if (entry.upstream == fallback && entries.fallback.empty()) entries.fallback = entry.prefix;
  if (entries.fallback.empty())
    return wrong("*=" + fallback, "it takes an entry of its own for that registry as well");
  return entries;
}

Match match(const std::vector<Entry>& entries, std::string_view repository) {
  Match best;
  for (const Entry& entry : entries) {
    const bool below = repository.size() > entry.prefix.size() + 1 &&
                       repository.starts_with(entry.prefix) &&
                       repository[entry.prefix.size()] == '/';
    if (!below || (best.entry != nullptr && best.entry->prefix.size() > entry.prefix.size()))
      continue;
    best = {.entry = &entry, .name = std::string(repository.substr(entry.prefix.size() + 1))};
  }
  return best;
}

}  // namespace berth::mirror
