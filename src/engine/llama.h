// The adapter for llama.cpp's llama-server.
//
// Looked for in this order: a configured path (the binary, a folder that holds it, or an engine
// root), an engine root that Berth installed (<engines>/llama.cpp/current), llama-server on PATH.
// See engine.h for threads, ownership and failures. Source: facts/engine.md, llama-server --help of
// build 11669.
#pragma once

#include <string>

#include "engine/engine.h"

namespace berth::engine {

struct LlamaSettings {
  std::string configured;       // engine.path or LLAMA_SERVER_PATH; "" for none
  std::string engines_dir;      // <data>/engines
  std::string path;             // PATH
  std::string runtime_dir;      // short: sockets are made below it
  std::string bwrap = "bwrap";  // a name to look up on `path`, or a path
  std::string root = "/";       // where devices are looked for; another one in tests
};

class Llama : public Engine {
 public:
  Llama(rt::Loop& loop, LlamaSettings settings);
  ~Llama() override;

  const Traits& traits() const override;
  rt::Task<Result<Installation>> probe(rt::Op& op) override;
  rt::Task<Result<Launch>> plan(rt::Op& op, LaunchRequest request) override;
  rt::Task<Status> ready(rt::Op& op, process::Child& child, http::Service& client) override;
  Error explain_exit(const process::Child& child, const Launch& launch) const override;
  rt::Task<Result<SandboxReport>> sandbox_report(rt::Op& op, Isolation isolation) override;

 private:
  Result<Installation> find() const;
  Result<std::string> find_bwrap() const;

  rt::Loop& loop_;
  LlamaSettings settings_;
};

}  // namespace berth::engine
