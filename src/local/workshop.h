// A store for the life of one command: where a model of a server elsewhere is worked on.
//
// Loop thread; open() blocks as Local::open does. It lies in the cache folder and goes with its
// object; what a killed process left is removed by the next one. close() must have been awaited
// before it goes.
#pragma once

#include <memory>

#include "config/settings.h"
#include "fs/scratch.h"
#include "local/local.h"

namespace berth::local {

class Workshop {
 public:
  static Result<std::unique_ptr<Workshop>> open(rt::Loop& loop,
                                                config::Configuration configuration);
  ~Workshop();

  Transfers& transfers();
  rt::Task<Status> close(rt::Op& op);

 private:
  explicit Workshop(std::unique_ptr<fs::Scratch> folder);

  std::unique_ptr<fs::Scratch> folder_;  // goes last
  std::unique_ptr<Local> local_;
};

}  // namespace berth::local
