#include "mirror/mirror_lists.h"

#include <algorithm>

#include "json/json.h"

namespace berth::mirror {
namespace {

// Pages of one list come one after the other, and are of the same list.
constexpr std::chrono::seconds kListFor{5};

depot::Page page_of(const std::vector<std::string>& names, const depot::PageRequest& request) {
  depot::Page page;
  auto at = std::ranges::upper_bound(names, request.last);
  for (; at != names.end() && page.names.size() < request.limit; ++at) page.names.push_back(*at);
  page.more = at != names.end();
  return page;
}

std::vector<depot::Referrer> page_of(const std::vector<depot::Referrer>& list,
                                     const depot::PageRequest& request) {
  auto from = std::ranges::upper_bound(list, request.last, {}, &depot::Referrer::digest);
  const auto left = static_cast<std::size_t>(list.end() - from);
  return {from, from + static_cast<std::ptrdiff_t>(std::min(left, request.limit))};
}

std::size_t bytes_of(const std::vector<std::string>& names) {
  std::size_t bytes = 0;
  for (const std::string& name : names) bytes += name.size() + sizeof(std::string);
  return bytes;
}

std::size_t bytes_of(const std::vector<depot::Referrer>& list) {
  std::size_t bytes = 0;
  for (const depot::Referrer& entry : list)
    bytes += sizeof(depot::Referrer) + entry.digest.size() + entry.descriptor.size();
  return bytes;
}

}  // namespace

rt::Task<Result<std::optional<depot::Page>>> MirrorLists::tags(rt::Op& op, std::string repository,
                                                               depot::PageRequest request) {
  const Place place = core_.place_of(repository);
  depot::Lists& local = core_.local.lists;
  if (!place) co_return co_await local.tags(op, std::move(repository), std::move(request));
  Names names;
  if (const Names* known = tags_.find(repository, kListFor)) {
    names = *known;
  } else {
    auto asked = co_await tag_flights_.run(op, repository, [&] { return ask_tags(place); });
    CO_TRY_OK(op.check());
    if (!asked) {
      CO_TRY(auto here, co_await local.tags(op, repository, std::move(request)));
      if (!here) co_return std::unexpected(std::move(asked.error()));
      core_.answered_stale(place, "", asked.error());
      co_return std::move(here);
    }
    names = std::move(*asked);
  }
  if (!names) co_return std::nullopt;
  co_return page_of(*names, request);
}

rt::Task<Result<MirrorLists::Names>> MirrorLists::ask_tags(Place place) {
  if (auto resting = place.upstream->resting()) co_return std::unexpected(*resting);
  CO_TRY(const auto repository, place.open());
  auto listed = co_await repository->list_tags(core_.op);
  Names names;
  if (listed) {
    std::ranges::sort(*listed);
    names = std::make_shared<const std::vector<std::string>>(std::move(*listed));
  } else if (listed.error().code() != Code::kNotFound) {
    co_return std::unexpected(place.upstream->told(std::move(listed.error())));
  }
  core_.answered(place, "");
  tags_.put(place.repository, names, names ? bytes_of(*names) : 0);
  co_return names;
}

rt::Task<Result<std::vector<depot::Referrer>>> MirrorLists::referrers(rt::Op& op,
                                                                      std::string repository,
                                                                      oci::Digest subject,
                                                                      depot::PageRequest request) {
  const Place place = core_.place_of(repository);
  depot::Lists& local = core_.local.lists;
  if (!place) {
    co_return co_await local.referrers(op, std::move(repository), std::move(subject),
                                       std::move(request));
  }
  const std::string key = repository + "@" + subject.string();
  if (const Referrers* known = referrers_.find(key, kListFor)) co_return page_of(**known, request);
  auto asked =
      co_await referrer_flights_.run(op, key, [&] { return ask_referrers(place, subject); });
  CO_TRY_OK(op.check());
  if (asked) co_return page_of(**asked, request);
  // Only for what is known here: a list that is empty would say that nobody signed it.
  CO_TRY(const auto here, co_await core_.local.manifests.find_manifest(op, repository, subject));
  if (!here) co_return std::unexpected(std::move(asked.error()));
  core_.answered_stale(place, subject.string(), asked.error());
  co_return co_await local.referrers(op, std::move(repository), std::move(subject),
                                     std::move(request));
}

rt::Task<Result<MirrorLists::Referrers>> MirrorLists::ask_referrers(Place place,
                                                                    oci::Digest subject) {
  if (auto resting = place.upstream->resting()) co_return std::unexpected(*resting);
  CO_TRY(const auto repository, place.open());
  auto listed = co_await repository->referrers(core_.op, subject, "");
  std::vector<depot::Referrer> found;
  if (listed) {
    for (const oci::Descriptor& entry : *listed) {
      found.push_back({.digest = entry.digest.string(),
                       .artifact_type = entry.artifact_type,
                       .descriptor = json::serialize(oci::to_json(entry))});
    }
  } else if (listed.error().code() != Code::kNotFound) {
    co_return std::unexpected(place.upstream->told(std::move(listed.error())));
  }
  core_.answered(place, subject.string());
  std::ranges::sort(found, {}, &depot::Referrer::digest);
  const std::size_t bytes = bytes_of(found);
  auto kept = std::make_shared<const std::vector<depot::Referrer>>(std::move(found));
  referrers_.put(place.repository + "@" + subject.string(), kept, bytes);
  co_return kept;
}

}  // namespace berth::mirror
