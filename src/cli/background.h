// A server in the background: started as a process of its own, found again by a file with its
// process id.
//
// Blocking. The file names a process; whether it still is ours is checked by its program and its
// word "serve", so a number that the system gave to another process is never signalled.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace berth::cli {

// The server that `folder` knows of, when it still runs.
Result<std::optional<int>> find_background(const std::string& folder);
// The words that it was started with ("serve", …).
std::vector<std::string> background_words(int pid);
// Starts this program with `words`, its output appended to serve.log in `folder`; returns its
// process id.
Result<int> start_background(const std::string& folder, const std::vector<std::string>& words);
// Whether it is still there (false: it ended).
bool background_runs(int pid);
// Asks it to stop. It drains; background_runs() says when it is gone.
Status stop_background(int pid);
std::string background_log(const std::string& folder);

}  // namespace berth::cli
