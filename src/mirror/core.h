// What the parts of a mirror share. Private to mirror. Loop thread.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "depot/depot.h"
#include "depot/lru.h"
#include "mirror/entry.h"
#include "mirror/mirror.h"
#include "mirror/upstream.h"
#include "rt/async.h"

namespace berth::mirror {

// Where a repository of this registry is upstream.
struct Place {
  Upstream* upstream = nullptr;
  std::string name;
  std::string repository;  // here

  explicit operator bool() const { return upstream != nullptr; }
  Result<std::shared_ptr<remote::Repository>> open() const { return upstream->repository(name); }
};

struct Core {
  Core(rt::Loop& event_loop, depot::Depot inner, depot::Intake& inner_intake, Options how)
      : loop(event_loop),
        local(inner),
        intake(inner_intake),
        options(std::move(how)),
        op("mirror"),
        scope(event_loop) {}

  // An empty Place: not a mirror's.
  Place place_of(const std::string& repository) const;
  // kNotAllowed when nothing may be changed there by callers.
  Status check_changeable(const std::string& repository) const;
  // How upstream's answer to a question (depot::Lists::stale) came about.
  void answered(const Place& place, const std::string& question);
  void answered_stale(const Place& place, const std::string& question, const Error& why);
  std::optional<depot::Stale> stale(const std::string& repository, const std::string& question);
  rt::SteadyTime now() const {
    return options.now ? options.now() : std::chrono::steady_clock::now();
  }

  rt::Loop& loop;
  depot::Depot local;
  depot::Intake& intake;
  Options options;
  std::vector<Entry> entries;
  std::vector<std::unique_ptr<Upstream>> upstreams;                          // of the entries
  depot::Lru<std::chrono::sys_seconds> stale_answers{std::size_t{1} << 20};  // since when
  rt::Op op;  // of all that outlives its caller
  rt::Scope scope;
};

}  // namespace berth::mirror
