#include "guard/permissions.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "base/words.h"

namespace berth::guard {
namespace {

constexpr std::array<std::string_view, kActionCount> kNames = {"pull", "push", "move", "delete"};

Result<Actions> parse_actions(std::string_view text) {
  if (text == "*") return Actions::all();
  Actions actions;
  for (const std::string& word : split(text, ',')) {
    TRY(const Action action, parse_action(word));
    actions.add(action);
  }
  return actions;
}

}  // namespace

std::string_view to_string(Action action) { return kNames[static_cast<std::size_t>(action)]; }

Result<Action> parse_action(std::string_view name) {
  const auto found = std::ranges::find(kNames, name);
  if (found != kNames.end()) return static_cast<Action>(found - kNames.begin());
  return fail(Code::kInvalid, "there is no action \"{}\"; there are pull, push, move, delete and *",
              printable(name, 40));
}

Actions Actions::of(std::initializer_list<Action> actions) {
  Actions out;
  for (const Action action : actions) out.add(action);
  return out;
}

Result<Permissions> Permissions::parse(const std::vector<std::string>& rules) {
  Permissions permissions;
  for (const std::string& rule : rules) {
    const std::vector<std::string> words = words_of(rule);
    if (words.size() != 3) {
      return fail(Code::kInvalid,
                  "the rule \"{}\" is not WHO ACTIONS REPOSITORIES, such as \"alice pull,push "
                  "team/**\"",
                  printable(rule, 200));
    }
    TRY(const Actions actions,
        in_context(parse_actions(words[1]), fmt::format("the rule \"{}\"", printable(rule, 200))));
    TRY(Glob where, Glob::parse(words[2]));
    permissions.rules_.push_back(
        {.subject = words[0], .actions = actions, .where = std::move(where)});
  }
  return permissions;
}

Permissions Permissions::for_every_user() { return parse({"* * **"}).value(); }

bool Permissions::Rule::means(std::string_view caller) const {
  const bool known = caller != kAnonymous;
  return subject == kAnonymous || (known && subject == "*") || (known && subject == caller);
}

Actions Permissions::of(std::string_view subject, std::string_view repository) const {
  Actions actions;
  for (const Rule& rule : rules_) {
    if (rule.means(subject) && rule.where.matches_whole(repository)) actions.add(rule.actions);
  }
  return actions;
}

Actions Permissions::anywhere(std::string_view subject) const {
  Actions actions;
  for (const Rule& rule : rules_)
    if (rule.means(subject)) actions.add(rule.actions);
  return actions;
}

Actions Permissions::everywhere(std::string_view subject) const {
  Actions actions;
  for (const Rule& rule : rules_) {
    if (rule.means(subject) && rule.where.text() == "**") actions.add(rule.actions);
  }
  return actions;
}

}  // namespace berth::guard
