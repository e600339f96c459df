// The way to one registry host and to the places that it names: decides which addresses each may
// have.
//
// The user named the registry, so it may be anywhere; where it turns out to be at its first answer
// is kept. Places that it names (redirects, upload locations, token servers) may be as near as the
// registry is and no nearer: a public registry cannot send us into the local network, a registry in
// it cannot send us to this machine.
//
// Where TLS is not asked for (loopback, *.local) and the first answer is one that a TLS server
// gives to plain text, TLS is taken from then on, at the same host and port; never the other way
// round. No credential has been sent by then. Loop thread.
#pragma once

#include <string>
#include <vector>

#include "http/message.h"
#include "remote/registry.h"

namespace berth::remote {

class Wire {
 public:
  // `base`: scheme, host and port of the registry; its path is a prefix of all API paths.
  Wire(Send send, http::Url base) : send_(std::move(send)), base_(std::move(base)) {}

  const http::Url& base() const { return base_; }
  bool is_registry(const http::Url& url) const { return url.same_origin(base_); }
  // Where a request to `url` goes: with TLS once the registry turned out to speak it.
  http::Url target(http::Url url) const;

  // Sends once. kDenied when the place may not be reached.
  rt::Task<Result<http::Response>> send(rt::Op& op, http::Request request);
  // A place that the user named: anywhere.
  rt::Task<Result<http::Response>> send_named(rt::Op& op, http::Request request);

  // Where `location` leads from `from`; kDenied when that would leave TLS, kCorrupt when it is no
  // URL.
  Result<http::Url> follow(const http::Url& from, std::string_view location) const;

 private:
  rt::Task<Result<http::Response>> send_to_registry(rt::Op& op, http::Request request);
  rt::Task<Result<http::Response>> find_registry(rt::Op& op, http::Request request);
  rt::Task<Result<http::Response>> try_tls(rt::Op& op, http::Request request,
                                           Result<http::Response> plain);

  Send send_;
  http::Url base_;
  std::size_t reach_ = 0;  // index into the ladder of policies
  bool reached_ = false;   // an answer came, so `reach_` is where the registry is
};

// Reads what is left of a small body so that its connection can be used again; a longer one is
// given up.
rt::Task<void> drain(rt::Op& op, http::Response response);

}  // namespace berth::remote
