// Names to addresses on the blocking pool, remembered for a minute. Private to http.
//
// Loop thread. One look-up per name at a time; giving up the wait leaves it running (getaddrinfo
// cannot be interrupted).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "rt/loop.h"
#include "rt/op.h"
#include "rt/task.h"

namespace berth::http {

class Resolver {
 public:
  explicit Resolver(rt::Loop& loop) : loop_(loop) {}

  // The name's addresses as literals, in the order to try them. kUnavailable when it has none.
  rt::Task<Result<std::vector<std::string>>> resolve(rt::Op& op, std::string name);

 private:
  struct Lookup;
  std::shared_ptr<Lookup> begin(const std::string& name);

  rt::Loop& loop_;
  std::map<std::string, std::shared_ptr<Lookup>> lookups_;
};

}  // namespace berth::http
