// Docker Model Runner's model management: /models… (facts 2.1). Private to api.
#pragma once

#include <memory>

#include "api/progress.h"
#include "api/route.h"
#include "rt/async.h"

namespace berth::api {

class ModelRoutes {
 public:
  // `transfers` and `op` are the Api's: what outlives its response runs there.
  ModelRoutes(Context& context, rt::Scope& transfers, rt::Op& op)
      : context_(context), transfers_(transfers), op_(op) {}

  Routes routes();

 private:
  using Answer = rt::Task<Result<Response>>;

  Answer list(rt::Op& op, Request request, Params params);
  Answer get(rt::Op& op, Request request, Params params);
  Answer export_tar(rt::Op& op, Request request, Params params);
  Answer create(rt::Op& op, Request request, Params params);
  Answer load(rt::Op& op, Request request, Params params);
  Answer tag(rt::Op& op, Request request, Params params);
  Answer push(rt::Op& op, Request request, Params params);
  Answer repackage(rt::Op& op, Request request, Params params);
  Answer remove(rt::Op& op, Request request, Params params);
  Answer purge(rt::Op& op, Request request, Params params);

  static rt::Task<Status> run_pull(std::shared_ptr<ProgressRun> run, control::Transfers& transfers,
                                   control::PullRequest request);
  static rt::Task<Status> run_push(std::shared_ptr<ProgressRun> run, control::Transfers& transfers,
                                   control::PushRequest request);
  Answer stream(rt::Op& op, std::shared_ptr<ProgressRun> run, Escape escape);

  Context& context_;
  rt::Scope& transfers_;
  rt::Op& op_;
};

// The details of a model by what Docker's clients may call it: as control resolves names, else by
// the last part of a tag's path ("smollm2" for registry.example/team/smollm2).
rt::Task<Result<control::ModelDetail>> find_detail(rt::Op& op, control::Models& models,
                                                   std::string name);

}  // namespace berth::api
