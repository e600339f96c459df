// What a token is asked to allow: a set of "repository:ai/x:pull,push". Pure value.
// Source: distribution's token scope document; facts/oci.md A6 point 4.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace berth::remote {

class ScopeSet {
 public:
  ScopeSet() = default;
  // "pull", "pull,push", "delete".
  static ScopeSet repository(std::string_view name, std::string_view actions);

  void add(const ScopeSet& other);
  // A challenge's scope: space-separated. At most 16 are taken, malformed ones are left out.
  void add_text(std::string_view text);

  bool empty() const { return actions_.empty(); }
  // Whether a token for this set allows all of `wanted`.
  bool covers(const ScopeSet& wanted) const;
  // One string for each resource, sorted; actions sorted ("pull,push").
  std::vector<std::string> strings() const;
  std::string string() const;  // joined by a space

  friend bool operator==(const ScopeSet&, const ScopeSet&) = default;

 private:
  std::map<std::string, std::set<std::string>> actions_;  // "repository:ai/x" -> {"pull"}
};

}  // namespace berth::remote
