// A password, token or key: a string that cannot be printed, logged or compared by accident.
#pragma once

#include <fmt/format.h>
#include <string>
#include <string_view>
#include <utility>

namespace berth {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}

  // The only way to the value; call it where the value leaves for its destination and nowhere else.
  const std::string& reveal() const { return value_; }
  bool empty() const { return value_.empty(); }

 private:
  std::string value_;
};

}  // namespace berth

template <>
struct fmt::formatter<berth::Secret> {
  constexpr auto parse(format_parse_context& context) { return context.begin(); }
  template <class Context>
  auto format(const berth::Secret&, Context&) const = delete;
};
