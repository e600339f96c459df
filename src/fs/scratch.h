// A folder for the life of an object, as of one command: removed with it, and by the next one of
// its kind when its process was killed.
//
// Blocking. Held by a lock inside, so that what is abandoned is told from what is in use. Moving
// the folder elsewhere (a rename to where its content belongs) is fine: then nothing is removed.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"
#include "fs/file.h"

namespace berth::fs {

class Scratch {
 public:
  // <below>/<prefix>XXXXXX; `below` is made when absent. `prefix` names the kind, and must be no
  // other's.
  static Result<std::unique_ptr<Scratch>> make(const std::string& below, const std::string& prefix);
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();

  const std::string& path() const { return path_; }

 private:
  Scratch(std::string path, Lock lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  Lock lock_;
};

}  // namespace berth::fs
