// `control` spoken over HTTP: to Berth's daemon on its socket, to Berth elsewhere, or to a Docker
// Model Runner server.
//
// Loop thread. connect() reads the address only; whether anybody answers shows with the first call:
// kUnavailable when nobody does. What Docker Model Runner's API lacks goes to /berth/v1, which a
// Berth server announces in /version; a server without it answers kUnsupported and a sentence.
// Files are sent as contents, never as paths. Source: facts/docker-model-runner.md section 2.
#pragma once

#include <memory>
#include <string>

#include "base/secret.h"
#include "control/control.h"
#include "oci/reference.h"
#include "rt/loop.h"

namespace berth::client {

struct ServerAddress {
  std::string url;   // "http://host:12434[/prefix]", "https://…", "unix:///path", "host:port"
  bool tls = false;  // https when the URL has no scheme
  bool tls_skip_verify = false;
  std::string ca_file;
  Secret token;
  oci::ReferenceDefaults defaults;  // how a tag's target is completed
};

// Whether somebody listens on a unix socket of this machine: the one question that is asked before
// a command knows whom to turn to. A refused connection, or no socket, is no. Blocks no longer than
// the kernel does.
bool answers(const std::string& socket);

class Client {
 public:
  // kInvalid for what is no such URL.
  static Result<std::unique_ptr<Client>> connect(rt::Loop& loop, ServerAddress address);
  ~Client();

  control::Services services();

 private:
  struct Parts;
  explicit Client(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace berth::client
