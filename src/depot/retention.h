// Which tags and manifests of a repository retention rules take away.
//
// Pure: the time and the repository's state are given. A rule is a pattern of repositories
// (base/glob.h, whole) and conditions, all of which must hold:
//   tags=GLOB      it is for tags of this form; without, for all
//   keep=N         those of its tags that were not among the N last moved
//   older=TIME     tags that were last moved so long ago
//   unpulled=TIME  tags whose manifest nobody got for so long
//   untagged=TIME  manifests that no tag stands for and that came so long ago
// A tag is judged by the first rule that is for it. A manifest goes when its last tag went, and
// with it what only belonged to it: the manifests of an index, and its referrers, also those that
// are tags of the form sha256-HEX.sig. What came within `grace` stays: what belongs to it may be on
// its way. Failure: kInvalid naming the rule.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/glob.h"

namespace berth::depot {

class RetentionRule {
 public:
  // "team/** tags=pr-* keep=20 older=30d"
  static Result<RetentionRule> parse(const std::string& text);
  static Result<std::vector<RetentionRule>> parse_all(const std::vector<std::string>& texts);

  bool is_for(const std::string& repository) const { return where.matches_whole(repository); }
  bool is_for_tag(const std::string& tag) const;

  Glob where;
  std::optional<Glob> tags;
  std::optional<std::uint64_t> keep;
  std::optional<std::chrono::seconds> older;
  std::optional<std::chrono::seconds> unpulled;
  std::optional<std::chrono::seconds> untagged;

 private:
  explicit RetentionRule(Glob glob) : where(std::move(glob)) {}
  Status read(std::string_view condition);
};

// Times are seconds since 1970.
struct RepositoryState {
  struct Tag {
    std::string name;
    std::string digest;
    std::int64_t moved = 0;
    std::int64_t order = 0;  // grows with each move in the registry
  };
  struct Manifest {
    std::string subject;                // "" for none
    std::vector<std::string> children;  // manifests of this repository that it names
    std::int64_t added = 0;
    std::int64_t pulled = 0;  // 0: never
  };
  std::string name;
  std::vector<Tag> tags;
  std::map<std::string, Manifest> manifests;  // by digest
};

struct Doomed {
  struct Tag {
    RepositoryState::Tag tag;
    std::string why;
  };
  struct Manifest {
    std::string digest;
    std::int64_t added = 0;
    std::string why;
  };
  std::vector<Tag> tags;
  std::vector<Manifest> manifests;  // parents before their children
};

Doomed judge(const RepositoryState& repository, const std::vector<RetentionRule>& rules,
             std::int64_t now, std::chrono::seconds grace);

}  // namespace berth::depot
