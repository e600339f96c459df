#include "local/workshop.h"

namespace berth::local {

Workshop::Workshop(std::unique_ptr<fs::Scratch> folder) : folder_(std::move(folder)) {}
Workshop::~Workshop() = default;

Result<std::unique_ptr<Workshop>> Workshop::open(rt::Loop& loop,
                                                 config::Configuration configuration) {
  TRY(auto folder, fs::Scratch::make(configuration.paths.cache + "/outgoing", "w-"));
  configuration.paths.store = folder->path() + "/store";
  std::unique_ptr<Workshop> workshop(new Workshop(std::move(folder)));
  TRY(workshop->local_, Local::open(loop, std::move(configuration), Role::kCommand));
  return workshop;
}

Transfers& Workshop::transfers() { return local_->transfers(); }

rt::Task<Status> Workshop::close(rt::Op& op) { co_return co_await local_->shutdown(op); }

}  // namespace berth::local
