// HostMemory in one small JSON file, shared by the processes of a user.
//
// Loop thread; opening reads the file and blocks shortly. What is older than a week or malformed is
// forgotten, at most 256 hosts are kept, the oldest go first. The file holds no secrets.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "remote/quirks.h"
#include "rt/loop.h"

namespace berth::remote {

class FileHostMemory : public HostMemory {
 public:
  // `folder` is made when there is something to keep; "hosts.json" is in it.
  FileHostMemory(rt::Loop& loop, std::string folder);

  Quirks recall(const std::string& authority, Quirks known) const override;
  rt::Task<void> remember(rt::Op& op, std::string authority, Quirks found) override;

 private:
  struct Entry {
    Quirks found;
    std::int64_t since = 0;  // seconds of the epoch
  };
  using Entries = std::map<std::string, Entry>;
  static Entries read(const std::string& folder);
  static Status write(const std::string& folder, Entries entries);

  rt::Loop& loop_;
  std::string folder_;
  Entries entries_;
};

}  // namespace berth::remote
