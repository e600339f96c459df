// From a parsed head to a Request, refusing what is ambiguous or forged. Pure; private to http.
// Sources: RFC 9112 section 3.2, facts/security.md B.9 point 2.
#pragma once

#include "http/incoming.h"
#include "http/message.h"

namespace berth::http {

// Where the connection came in.
struct Arrival {
  std::string peer;  // "unix", or the caller's address
  int peer_uid = -1;
  bool secure = false;

  bool on_unix_socket() const { return peer == "unix"; }
};

// kInvalid (400) for no, several or malformed Hosts, a target that disagrees with Host or is
// malformed; kNotAllowed for CONNECT; kUnsupported (501) for a method that is no word. On a unix
// socket the Host may say anything.
Result<Request> request_of(Head head, const Arrival& arrival);

}  // namespace berth::http
