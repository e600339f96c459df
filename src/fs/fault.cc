#include "fs/fault.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <unistd.h>

#include "base/text.h"

namespace berth::fs::fault {
namespace {

constexpr std::array<std::string_view, kOperations> kWords = {
    "open", "write", "sync", "rename", "link", "allocate", "dbwrite", "read"};

std::optional<Operation> operation_of(std::string_view word) {
  for (std::size_t at = 0; at < kWords.size(); ++at) {
    if (kWords[at] == word) return static_cast<Operation>(at);
  }
  return std::nullopt;
}

std::optional<int> error_of(std::string_view word) {
  constexpr std::pair<std::string_view, int> kErrors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},
                                                          {"EMFILE", EMFILE}, {"EDQUOT", EDQUOT},
                                                          {"EROFS", EROFS},   {"short", kShort}};
  for (const auto& [name, error] : kErrors) {
    if (name == word) return error;
  }
  return std::nullopt;
}

Result<Fault> parse_one(const std::string& text) {
  const std::vector<std::string> part = split(text, ':');
  const bool sticky = part.size() == 4 && part[3] == "sticky";
  if (part.size() == 3 || sticky) {
    const auto operation = operation_of(part[0]);
    const auto turn = parse_u64(part[1]);
    const auto error = error_of(part[2]);
    const bool fits = error != kShort || operation == Operation::kWrite;
    if (operation && turn && *turn > 0 && error && fits) {
      return Fault{.operation = *operation, .turn = *turn, .error = *error, .sticky = sticky};
    }
  }
  return fail(Code::kInvalid,
              "\"{}\" is no fault: it has the form write:3:ENOSPC or sync:1:EIO:sticky",
              printable(text, 80));
}

bool traces() {
  const char* text = ::secure_getenv("BERTH_FAULT");
  return text != nullptr && std::string_view(text) == "trace";
}

// What does not parse would be a test that tests nothing, so it ends the program at once.
std::vector<Fault> of_environment() {
  const char* text = ::secure_getenv("BERTH_FAULT");
  if (text == nullptr || *text == '\0' || traces()) return {};
  auto faults = parse(text);
  if (faults) return std::move(*faults);
  fmt::print(stderr, "berth: BERTH_FAULT: {}\n", faults.error().message());
  std::exit(2);
}

const std::vector<Fault>& faults() {
  static const std::vector<Fault> kFaults = of_environment();
  return kFaults;
}

std::array<std::atomic<std::uint64_t>, kOperations> counts = {};

void trace(std::string_view word) {
  const std::string line = fmt::format("fault {}\n", word);
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

Result<std::vector<Fault>> parse(std::string_view text) {
  std::vector<Fault> faults;
  for (const std::string& one : split(text, ',')) {
    TRY(const Fault fault, parse_one(one));
    faults.push_back(fault);
  }
  return faults;
}

const bool kArmed = traces() || !faults().empty();

int due(Operation operation) {
  static const bool kTraces = traces();
  if (kTraces && operation != Operation::kRead) trace(kWords[static_cast<std::size_t>(operation)]);
  const std::uint64_t turn = counts[static_cast<std::size_t>(operation)].fetch_add(1) + 1;
  for (const Fault& fault : faults()) {
    if (fault.operation != operation) continue;
    if (turn == fault.turn || (fault.sticky && turn > fault.turn)) return fault.error;
  }
  return 0;
}

}  // namespace berth::fs::fault
