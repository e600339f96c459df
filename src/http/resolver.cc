#include "http/resolver.h"

#include <array>
#include <chrono>
#include <netdb.h>
#include <optional>

#include <boost/asio/post.hpp>

#include "base/text.h"
#include "rt/async.h"

namespace berth::http {
namespace {

constexpr std::chrono::seconds kRemembered{60};
constexpr std::size_t kNamesAtMost = 256;

std::vector<std::string> literals_of(const addrinfo* list) {
  std::vector<std::string> literals;
  for (const addrinfo* at = list; at; at = at->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (::getnameinfo(at->ai_addr, at->ai_addrlen, text.data(), text.size(), nullptr, 0,
                      NI_NUMERICHOST) == 0) {
      literals.emplace_back(text.data());
    }
  }
  return literals;
}

Result<std::vector<std::string>> look_up(const std::string& name) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(name.c_str(), nullptr, &hints, &list);
  if (error != 0) {
    return fail(Code::kUnavailable, "cannot find the host {}: {}; check the name and the network",
                name, ::gai_strerror(error));
  }
  std::vector<std::string> literals = literals_of(list);
  ::freeaddrinfo(list);
  return literals;
}

}  // namespace

struct Resolver::Lookup {
  explicit Lookup(rt::Loop& loop) : done(loop) {}
  bool stale() const {
    return result && (!*result || std::chrono::steady_clock::now() >= forget_at);
  }

  rt::Event done;
  std::optional<Result<std::vector<std::string>>> result;
  rt::SteadyTime forget_at;
};

std::shared_ptr<Resolver::Lookup> Resolver::begin(const std::string& name) {
  if (lookups_.size() >= kNamesAtMost) lookups_.clear();
  auto lookup = std::make_shared<Lookup>(loop_);
  lookups_[name] = lookup;
  boost::asio::post(loop_.pool(), [lookup, name,
                                   executor = loop_.context().get_executor()]() mutable {
    auto result = look_up(name);
    boost::asio::post(executor, [lookup = std::move(lookup), result = std::move(result)]() mutable {
      lookup->result = std::move(result);
      lookup->forget_at = std::chrono::steady_clock::now() + kRemembered;
      lookup->done.notify_all();
    });
  });
  return lookup;
}

rt::Task<Result<std::vector<std::string>>> Resolver::resolve(rt::Op& op, std::string name) {
  const auto found = lookups_.find(name);
  const bool usable = found != lookups_.end() && !found->second->stale();
  const std::shared_ptr<Lookup> lookup = usable ? found->second : begin(name);
  while (!lookup->result) CO_TRY_OK(co_await lookup->done.wait(op));
  co_return *lookup->result;
}

}  // namespace berth::http
