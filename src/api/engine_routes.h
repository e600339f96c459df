// Docker Model Runner's engine management: /engines/… (facts 2.3). Private to api.
#pragma once

#include "api/recorder.h"
#include "api/route.h"

namespace berth::api {

class EngineRoutes {
 public:
  EngineRoutes(Context& context, Recorder& recorder) : context_(context), recorder_(recorder) {}
  Routes routes();

 private:
  using Answer = rt::Task<Result<Response>>;

  Answer status(rt::Op& op, Request request, Params params);
  Answer ps(rt::Op& op, Request request, Params params);
  Answer df(rt::Op& op, Request request, Params params);
  Answer unload(rt::Op& op, Request request, Params params);
  Answer configure(rt::Op& op, Request request, Params params);
  Answer configurations(rt::Op& op, Request request, Params params);
  Answer install(rt::Op& op, Request request, Params params);
  Answer uninstall(rt::Op& op, Request request, Params params);
  Answer requests(rt::Op& op, Request request, Params params);

  Context& context_;
  Recorder& recorder_;
};

// kNotFound for a backend that neither Berth nor Docker Model Runner has. The word in a path
// decides nothing else: the model's format chooses its engine.
Status check_backend(const std::string& name);

}  // namespace berth::api
