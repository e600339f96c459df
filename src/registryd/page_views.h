// What the web page shows, as Html: each view is all that its page needs. Internal to web_page.
//
// Pure. Everything in a view may come from outside; html.h escapes it, and what is long is cut.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "depot/depot.h"
#include "registryd/artifact.h"
#include "registryd/html.h"

namespace berth::registryd {

// Of every page.
struct Frame {
  std::string host;  // as clients name this registry
  std::string user;  // "" = nobody in particular
  bool may_log_in = false;
  std::string query;  // what the search box holds
  std::chrono::sys_seconds now{};
};

struct RepositoryLine {
  std::string name;
  std::optional<depot::Tag> newest;
  std::size_t tags = 0;
};
struct HomeView {
  std::vector<RepositoryLine> repositories;
  std::string next;  // path of the page behind; "" at the end
  bool is_first = true;
};

struct RepositoryView {
  std::string name;
  depot::TagList list;
  std::size_t page = 1;
  std::size_t pages = 1;
};

struct ReferrerLine {
  std::string type;
  std::string digest;
  std::uint64_t size = 0;
};
struct ManifestView {
  std::string repository;
  std::string tag;  // "" when it was asked for by digest
  oci::Digest digest = oci::Digest::of({});
  std::string media_type;
  Artifact artifact;
  std::vector<ReferrerLine> referrers;
  std::vector<depot::TagMove> history;
  Html card;
};

Html home_page(const Frame& frame, const HomeView& view);
Html repository_page(const Frame& frame, const RepositoryView& view);
Html manifest_page(const Frame& frame, const ManifestView& view);
// A heading and a sentence: what was not found, who may not.
Html message_page(const Frame& frame, std::string_view heading, std::string_view sentence);

// The Content-Security-Policy under which these pages work: no script, no other source, their style
// by its hash.
const std::string& content_security_policy();

}  // namespace berth::registryd
