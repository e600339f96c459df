#include "depot/retention.h"

#include <algorithm>
#include <functional>
#include <set>

#include "base/text.h"
#include "base/words.h"

namespace berth::depot {
namespace {

using Digests = std::set<std::string>;

Result<std::chrono::seconds> time_of(std::string_view text) {
  const auto time = parse_duration(text);
  if (time && time->count() > 0) return std::chrono::floor<std::chrono::seconds>(*time);
  return fail(Code::kInvalid, "\"{}\" is no time such as 12h or 30d", printable(text, 40));
}

std::string shown(std::chrono::seconds time) {
  const auto days = std::chrono::floor<std::chrono::days>(time);
  return days == time ? fmt::format("{} days", days.count()) : format_duration(time);
}

// "sha256-HEX.sig" is a tag that only means something beside sha256:HEX: cosign's signatures, and
// the lists of referrers of registries without that API.
std::string subject_of_tag(std::string_view tag) {
  constexpr std::string_view kStart = "sha256-";
  constexpr std::size_t kHex = 64;
  if (!tag.starts_with(kStart) || tag.size() < kStart.size() + kHex) return {};
  const std::string_view hex = tag.substr(kStart.size(), kHex);
  const std::string_view rest = tag.substr(kStart.size() + kHex);
  const bool is_hex = hex.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (!is_hex || (!rest.empty() && rest.front() != '.')) return {};
  return fmt::format("sha256:{}", hex);
}

class Judge {
 public:
  Judge(const RepositoryState& repository, const std::vector<RetentionRule>& rules,
        std::int64_t now, std::chrono::seconds grace)
      : repository_(repository), rules_(rules), now_(now), grace_(grace) {}

  Doomed judge() {
    judge_tags();
    read_relations();
    Digests roots = lost_their_tags();
    add_untagged(roots);
    keep_all_but(roots);
    collect(roots);
    return std::move(doomed_);
  }

 private:
  bool is_past(std::int64_t since, std::chrono::seconds time) const {
    return now_ - since >= time.count();
  }

  const RetentionRule* rule_for(const RepositoryState::Tag& tag) const {
    const auto found = std::ranges::find_if(rules_, [&](const RetentionRule& rule) {
      return rule.is_for(repository_.name) && rule.is_for_tag(tag.name);
    });
    return found == rules_.end() ? nullptr : &*found;
  }

  std::int64_t last_wanted(const RepositoryState::Tag& tag) const {
    const auto found = repository_.manifests.find(tag.digest);
    const std::int64_t pulled = found == repository_.manifests.end() ? 0 : found->second.pulled;
    return std::max(pulled, tag.moved);
  }

  // Its manifest is not old enough to go.
  bool is_young(const RepositoryState::Tag& tag) const {
    const auto found = repository_.manifests.find(tag.digest);
    return found != repository_.manifests.end() && !is_past(found->second.added, grace_);
  }

  // Why it goes; "" when it stays. `rank`: how many of the rule's tags were moved later.
  std::string why(const RetentionRule& rule, const RepositoryState::Tag& tag,
                  std::uint64_t rank) const {
    std::vector<std::string> reasons;
    if (is_young(tag)) return {};
    if (rule.keep) {
      if (rank < *rule.keep) return {};
      reasons.push_back(fmt::format("not among the {} newest", *rule.keep));
    }
    if (rule.older) {
      if (!is_past(tag.moved, *rule.older)) return {};
      reasons.push_back(fmt::format("older than {}", shown(*rule.older)));
    }
    if (rule.unpulled) {
      if (!is_past(last_wanted(tag), *rule.unpulled)) return {};
      reasons.push_back(fmt::format("not pulled for {}", shown(*rule.unpulled)));
    }
    return fmt::format("{}", fmt::join(reasons, ", "));
  }

  void judge_tags() {
    std::map<const RetentionRule*, std::vector<RepositoryState::Tag>> judged;
    for (const RepositoryState::Tag& tag : repository_.tags) {
      if (!subject_of_tag(tag.name).empty()) continue;
      const RetentionRule* rule = rule_for(tag);
      if (rule == nullptr) {
        kept_tags_.insert(tag.digest);
      } else {
        judged[rule].push_back(tag);
      }
    }
    for (auto& [rule, tags] : judged) {
      std::ranges::sort(tags, std::ranges::greater(), &RepositoryState::Tag::order);
      for (std::uint64_t rank = 0; rank < tags.size(); ++rank) {
        std::string reason = why(*rule, tags[rank], rank);
        if (reason.empty()) {
          kept_tags_.insert(tags[rank].digest);
        } else {
          doomed_.tags.push_back({.tag = tags[rank], .why = std::move(reason)});
        }
      }
    }
  }

  void read_relations() {
    for (const auto& [digest, manifest] : repository_.manifests) {
      for (const std::string& child : manifest.children) has_parent_.insert(child);
      if (!manifest.subject.empty()) referrers_[manifest.subject].insert(digest);
    }
    for (const RepositoryState::Tag& tag : repository_.tags) {
      std::string subject = subject_of_tag(tag.name);
      if (subject.empty()) continue;
      referrers_[subject].insert(tag.digest);
      // Whose subject is not here is nobody's to take.
      if (!repository_.manifests.contains(subject)) kept_tags_.insert(tag.digest);
    }
    for (const auto& [subject, digests] : referrers_) {
      if (repository_.manifests.contains(subject)) depends_.insert(digests.begin(), digests.end());
    }
  }

  Digests lost_their_tags() const {
    Digests lost;
    for (const Doomed::Tag& gone : doomed_.tags) {
      if (!kept_tags_.contains(gone.tag.digest)) lost.insert(gone.tag.digest);
    }
    return lost;
  }

  // Belongs to nothing else, and no tag stood for it.
  bool stands_alone(const std::string& digest) const {
    return !has_parent_.contains(digest) && !depends_.contains(digest) &&
           !kept_tags_.contains(digest);
  }

  void add_untagged(Digests& roots) {
    const auto rule = std::ranges::find_if(rules_, [&](const RetentionRule& one) {
      return one.untagged && one.is_for(repository_.name);
    });
    if (rule == rules_.end()) return;
    untagged_why_ = fmt::format("without a tag for {}", shown(*rule->untagged));
    for (const auto& [digest, manifest] : repository_.manifests) {
      if (roots.contains(digest) || !stands_alone(digest)) continue;
      if (!is_past(manifest.added, *rule->untagged)) continue;
      roots.insert(digest);
      untagged_.insert(digest);
    }
  }

  // What is kept keeps its children and its referrers.
  void keep(const std::string& first) {
    std::vector<std::string> next{first};
    while (!next.empty()) {
      const std::string digest = std::move(next.back());
      next.pop_back();
      const auto manifest = repository_.manifests.find(digest);
      if (manifest == repository_.manifests.end() || !kept_.insert(digest).second) continue;
      next.insert(next.end(), manifest->second.children.begin(), manifest->second.children.end());
      if (const auto more = referrers_.find(digest); more != referrers_.end())
        next.insert(next.end(), more->second.begin(), more->second.end());
    }
  }

  void keep_all_but(const Digests& roots) {
    for (const auto& [digest, manifest] : repository_.manifests) {
      const bool young = !is_past(manifest.added, grace_);
      const bool alone = stands_alone(digest) && !roots.contains(digest);
      if (young || alone || kept_tags_.contains(digest)) keep(digest);
    }
  }

  // All that is reached from the roots and not kept.
  Digests reach(const Digests& roots) const {
    Digests reached;
    std::vector<std::string> next(roots.begin(), roots.end());
    while (!next.empty()) {
      const std::string digest = std::move(next.back());
      next.pop_back();
      const auto manifest = repository_.manifests.find(digest);
      if (manifest == repository_.manifests.end() || kept_.contains(digest) ||
          !reached.insert(digest).second)
        continue;
      next.insert(next.end(), manifest->second.children.begin(), manifest->second.children.end());
      if (const auto more = referrers_.find(digest); more != referrers_.end())
        next.insert(next.end(), more->second.begin(), more->second.end());
    }
    return reached;
  }

  // Parents first. Digests cannot name each other in a circle.
  std::vector<std::string> in_order(const Digests& reached) const {
    std::map<std::string, std::size_t> parents;
    for (const std::string& digest : reached)
      for (const std::string& child : repository_.manifests.at(digest).children) ++parents[child];
    std::vector<std::string> order;
    for (const std::string& digest : reached)
      if (!parents.contains(digest)) order.push_back(digest);
    for (std::size_t at = 0; at < order.size(); ++at) {
      const RepositoryState::Manifest& manifest = repository_.manifests.at(order[at]);
      for (const std::string& child : manifest.children)
        if (--parents[child] == 0 && reached.contains(child)) order.push_back(child);
    }
    return order;
  }

  void collect(const Digests& roots) {
    std::map<std::string, std::string> why_of;
    for (const Doomed::Tag& gone : doomed_.tags) why_of.emplace(gone.tag.digest, gone.why);
    for (const std::string& digest : in_order(reach(roots))) {
      std::string why = untagged_.contains(digest) ? untagged_why_
                        : why_of.contains(digest)  ? why_of[digest]
                                                   : "belonged to what went";
      doomed_.manifests.push_back({.digest = digest,
                                   .added = repository_.manifests.at(digest).added,
                                   .why = std::move(why)});
    }
  }

  const RepositoryState& repository_;
  const std::vector<RetentionRule>& rules_;
  std::int64_t now_;
  std::chrono::seconds grace_;
  Doomed doomed_;
  Digests kept_tags_;                         // digests that a tag goes on to stand for
  Digests has_parent_;                        // some manifest here names it
  Digests depends_;                           // a referrer of something that is here
  std::map<std::string, Digests> referrers_;  // by subject
  Digests untagged_;
  std::string untagged_why_;
  Digests kept_;
};

}  // namespace

Status RetentionRule::read(std::string_view condition) {
  const std::size_t sign = condition.find('=');
  const std::string_view name = condition.substr(0, sign);
  const std::string_view value =
      sign == std::string_view::npos ? std::string_view() : condition.substr(sign + 1);
  if (name == "tags") {
    TRY(tags, Glob::parse(value));
    return {};
  }
  if (name == "keep") {
    keep = parse_u64(value);
    if (keep) return {};
    return fail(Code::kInvalid, "keep takes a number of tags, not \"{}\"", printable(value, 40));
  }
  auto* time = name == "older"      ? &older
               : name == "unpulled" ? &unpulled
               : name == "untagged" ? &untagged
                                    : nullptr;
  if (time == nullptr) {
    return fail(Code::kInvalid,
                "there is no condition \"{}\"; there are tags=, keep=, older=, unpulled= and "
                "untagged=",
                printable(condition, 60));
  }
  TRY(*time, time_of(value));
  return {};
}

bool RetentionRule::is_for_tag(const std::string& tag) const {
  return (keep || older || unpulled) && (!tags || tags->matches_whole(tag));
}

Result<RetentionRule> RetentionRule::parse(const std::string& text) {
  const std::vector<std::string> words = words_of(text);
  const auto wrong = [&](std::string_view why) {
    return fail(Code::kInvalid, "the retention rule \"{}\" is wrong: {}", printable(text, 150),
                why);
  };
  if (words.size() < 2)
    return wrong("it needs a pattern of repositories and conditions, as in \"ci/** older=30d\"");
  auto where = Glob::parse(words[0]);
  if (!where) return wrong(where.error().message());
  RetentionRule rule(std::move(*where));
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (const Status read = rule.read(words[i]); !read) return wrong(read.error().message());
  }
  const bool for_tags = rule.keep || rule.older || rule.unpulled;
  if (!for_tags && !rule.untagged) return wrong("tags= alone does not say which of them go");
  return rule;
}

Result<std::vector<RetentionRule>> RetentionRule::parse_all(const std::vector<std::string>& texts) {
  std::vector<RetentionRule> rules;
  for (const std::string& text : texts) {
    TRY(RetentionRule rule, parse(text));
    rules.push_back(std::move(rule));
  }
  return rules;
}

Doomed judge(const RepositoryState& repository, const std::vector<RetentionRule>& rules,
             std::int64_t now, std::chrono::seconds grace) {
  return Judge(repository, rules, now, grace).judge();
}

}  // namespace berth::depot
