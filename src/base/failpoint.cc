#include "base/failpoint.h"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fmt/format.h>
#include <string>
#include <unistd.h>

#include "base/text.h"

namespace berth::failpoint {
namespace {

struct Wish {
  std::string name;
  std::uint64_t turn = 0;  // 0: never
};

// What does not parse kills nothing: the test that wrote it sees that the process went on.
Wish wish_of(const char* text) {
  if (text == nullptr || *text == '\0') return {};
  const std::string_view whole(text);
  const std::size_t colon = whole.find(':');
  if (colon == std::string_view::npos) return {.name = std::string(whole), .turn = 1};
  const auto turn = parse_u64(whole.substr(colon + 1));
  return {.name = std::string(whole.substr(0, colon)), .turn = turn.value_or(0)};
}

// A program that runs with another user's rights does not take orders to die from its caller.
const Wish& wish() {
  static const Wish kWish = wish_of(::secure_getenv("BERTH_FAILPOINT"));
  return kWish;
}

std::atomic<std::uint64_t> passes = 0;

void trace(std::string_view name) {
  // In one call, so that lines of two threads do not mix.
  const std::string line = fmt::format("failpoint {}\n", name);
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

const bool kArmed = wish().turn > 0;

void pass(std::string_view name) {
  if (wish().name == "trace") return trace(name);
  if (name != wish().name) return;
  if (passes.fetch_add(1) + 1 != wish().turn) return;
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();  // another thread took the signal: this one must not go on
}

}  // namespace berth::failpoint
