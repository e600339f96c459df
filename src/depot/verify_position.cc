#include "depot/verify_position.h"

#include "base/text.h"
#include "depot/shelf.h"

namespace berth::depot {
namespace {

constexpr std::string_view kFile = "verified";
constexpr std::string_view kEnd = "end";
constexpr std::size_t kMost = 4096;

}  // namespace

VerifyPosition VerifyPosition::load(const fs::Dir& root) {
  const VerifyPosition anew{.began = seconds_now()};
  const auto text = root.read_small(kFile, kMost);
  if (!text) return anew;
  const auto words = split(trim(*text), ' ');
  if (words.size() != 2) return anew;
  const auto began = parse_i64(words[0]);
  if (!began || *began < 0) return anew;
  if (words[1] == kEnd) return {.began = *began, .ended = true};
  if (!oci::Digest::parse(words[1])) return anew;
  return {.began = *began, .last = words[1]};
}

Status VerifyPosition::save(const fs::Dir& root) const {
  return root.replace(kFile, fmt::format("{} {}\n", began, ended ? kEnd : last));
}

}  // namespace berth::depot
