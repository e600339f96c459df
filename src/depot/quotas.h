// How many bytes repositories may hold.
//
// A quota is a pattern of repository names (base/glob.h, whole) and a size. All repositories that
// the pattern names are one project and share the size; "each" before it gives the size to every
// one of them. What counts is what a repository shows: a blob counts in every repository that has
// it, also where the disk has it once. parse() is pure; the rest works inside a transaction of the
// writer. Failures: kInvalid naming the quota; kDenied for what would not fit.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "base/glob.h"
#include "store/statement.h"

namespace berth::depot {

inline constexpr std::uint64_t kNoQuota = std::numeric_limits<std::int64_t>::max();

class Quotas {
 public:
  // "team/** 500GiB", "each ci/** 20GiB"
  static Result<Quotas> parse(const std::vector<std::string>& texts);

  bool none() const { return quotas_.empty(); }
  // After the catalogue was opened: adds up the projects when they are not those it knows.
  Status prepare(store::Database& database) const;
  // Bytes that the repository may still grow by; it need not be there yet.
  Result<std::uint64_t> room(store::Database& database, const std::string& repository) const;
  // Whether it may grow by so many bytes. Changes nothing.
  Status check(store::Database& database, const std::string& repository, std::uint64_t bytes) const;
  // Before what was checked happens: counts the repository in its projects from now on.
  Status enter(store::Database& database, std::int64_t id, const std::string& repository) const;

 private:
  struct Quota {
    Glob where;
    bool each = false;
    std::uint64_t most = 0;

    std::string described() const;
  };
  static Result<Quota> parse_one(const std::string& text);
  static std::unexpected<Error> refuse(const Quota& quota, const std::string& repository,
                                       std::uint64_t held, std::uint64_t bytes);

  std::vector<Quota> quotas_;
};

}  // namespace berth::depot
