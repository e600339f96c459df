// What a Registry and its Repositories share: the host, its mirrors and what was learned about
// them. Loop thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "remote/endpoint.h"
#include "remote/registry.h"

namespace berth::remote {

class RegistryCore {
 public:
  RegistryCore(rt::Loop& loop, std::string name, http::Url base, const RegistryOptions& options);
  // kInvalid when a mirror is no URL.
  Status add_mirrors();

  rt::Loop& loop() { return loop_; }
  const std::string& name() const { return name_; }  // as the user calls it: "docker.io"
  const RegistryOptions& options() const { return options_; }
  const HostOptions& host() const { return host_; }
  Endpoint& origin() { return origin_; }

  // A read that a mirror may answer. The mirrors are asked once each; what they cannot give comes
  // from the registry itself.
  struct Read {
    Endpoint* endpoint;  // that answered
    Answer answer;
    bool ranged;  // the Range was asked for
  };
  struct ReadCall {
    std::string doing;
    std::string method = "GET";
    std::string path;  // below /v2/
    http::Headers headers = {};
    std::string repository;
    std::string range = {};  // "bytes=0-99", where parts of blobs come right
    std::function<void(const std::string&)> on_wait = {};
  };
  rt::Task<Result<Read>> read(rt::Op& op, ReadCall call);

 private:
  rt::Loop& loop_;
  std::string name_;
  RegistryOptions options_;
  HostOptions host_;
  Throttles throttles_;
  Endpoint origin_;
  struct Mirror {
    std::unique_ptr<Endpoint> endpoint;
    rt::SteadyTime rests_until{};
  };
  std::vector<Mirror> mirrors_;
};

}  // namespace berth::remote
