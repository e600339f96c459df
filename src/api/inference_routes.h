// Inference: OpenAI's paths (and Anthropic's messages, which llama-server speaks itself) passed
// through to an engine; facts 2.2. Private to api.
//
// Only "model" is read of a body; the bytes go on as they came. An engine that dies before the
// first byte of its answer is replaced once.
#pragma once

#include "api/recorder.h"
#include "api/relay.h"
#include "api/route.h"

namespace berth::api {

// One kind of inference request.
struct InferencePath {
  std::string path;  // below the prefix: "/chat/completions"
  std::string
      engine_path;  // what llama-server calls it; "" when no engine of this version can do it
  Mode mode = Mode::kCompletion;
  ErrorForm errors = ErrorForm::kOpenAi;
};

class InferenceRoutes {
 public:
  InferenceRoutes(Context& context, Recorder& recorder)
      : context_(context), ledger_(context.metrics, recorder) {}
  Routes routes();

 private:
  using Answer = rt::Task<Result<Response>>;
  // An answer whose first bytes are here: the engine is alive.
  struct Begun {
    std::unique_ptr<Engine> engine;
    Response response;
    std::string first;
  };

  void add(Routes& routes, const std::string& prefix, const InferencePath& kind);
  Answer infer(rt::Op& op, Request request, Params params, const InferencePath& kind);
  rt::Task<Result<Begun>> begin(rt::Op& op, Wanted wanted, const InferencePath& kind,
                                Request forwarded, std::string body);
  Answer preload(rt::Op& op, Wanted wanted);
  static rt::Task<Result<std::string>> ask(rt::Op& op, Engine& engine, const InferencePath& kind,
                                           const Request& like, std::string body,
                                           Response& response);
  Answer finish(rt::Op& op, Begun begun, Exchange exchange);
  Answer list(rt::Op& op, Request request, Params params);
  Answer get(rt::Op& op, Request request, Params params);
  Answer not_here(rt::Op& op, Request request, Params params);

  Context& context_;
  Ledger ledger_;
};

}  // namespace berth::api
