// Any text as the WWW-Authenticate fields of a 401; a line break begins the next field.
#include "base/assert.h"
#include "remote/challenge.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::remote;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::vector<std::string_view> fields;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    fields.push_back(rest.substr(0, end));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  const auto challenges = parse_challenges(fields);
  BERTH_ASSERT(challenges.size() <= kMaxChallenges);
  for (const Challenge& one : challenges) BERTH_ASSERT(one.params.size() <= kMaxChallengeParams);
  return 0;
}
