// Who may do what in which repository of a registry. Pure, thread-safe.
//
// A rule is three words: who (a user's name, "*" for everybody who logged in, "anonymous" for
// everybody), what (actions joined by ",", or "*"), and where (a pattern of repository names,
// base/glob.h, whole). What no rule allows is denied. Failure: kInvalid naming the rule.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/glob.h"

namespace berth::guard {

enum class Action : std::uint8_t {
  kPull,
  kPush,  // blobs, manifests and new tags
  kMove,  // a tag that stands for something else
  kDelete,
};
inline constexpr int kActionCount = 4;
std::string_view to_string(Action action);
Result<Action> parse_action(std::string_view name);

class Actions {
 public:
  static Actions all() { return Actions((1u << kActionCount) - 1); }
  static Actions of(std::initializer_list<Action> actions);
  Actions() = default;
  void add(Action action) { bits_ |= bit(action); }
  void add(Actions more) { bits_ |= more.bits_; }
  bool allows(Action action) const { return (bits_ & bit(action)) != 0; }
  bool none() const { return bits_ == 0; }
  Actions common(Actions other) const { return Actions(bits_ & other.bits_); }

 private:
  explicit Actions(unsigned bits) : bits_(bits) {}
  static unsigned bit(Action action) { return 1u << static_cast<unsigned>(action); }
  unsigned bits_ = 0;
};

// A caller: a name, or nobody.
inline constexpr std::string_view kAnonymous = "anonymous";

class Permissions {
 public:
  // "alice pull,push team/**", "* pull **", "anonymous pull public/*"
  static Result<Permissions> parse(const std::vector<std::string>& rules);
  // Everybody who logged in may do everything.
  static Permissions for_every_user();

  Actions of(std::string_view subject, std::string_view repository) const;
  // What is allowed in every repository there is and will be: by rules for "**".
  Actions everywhere(std::string_view subject) const;
  // What is allowed in one repository or another.
  Actions anywhere(std::string_view subject) const;

 private:
  struct Rule {
    std::string subject;
    Actions actions;
    Glob where;

    bool means(std::string_view caller) const;
  };
  std::vector<Rule> rules_;
};

}  // namespace berth::guard
