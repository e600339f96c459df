// Named kill points: places where a test lets the process die as if the power went, by SIGKILL.
//
// BERTH_FAILPOINT("store.commit.before_rename") costs one load of a bool unless the environment
// says BERTH_FAILPOINT=store.commit.before_rename[:n] (the n-th pass, 1 when absent). With
// BERTH_FAILPOINT=trace nobody dies, and each pass is a line "failpoint NAME" on standard error.
// For tests only; any thread. Every name and what it stands for: docs/dev/faults.md (a lint test
// compares).
#pragma once

#include <string_view>

namespace berth::failpoint {

// Whether this process was started to die somewhere. Set before main.
extern const bool kArmed;

// Does not return from the pass that was asked for.
void pass(std::string_view name);

}  // namespace berth::failpoint

#define BERTH_FAILPOINT(name)                    \
  do {                                           \
    if (::berth::failpoint::kArmed) [[unlikely]] \
      ::berth::failpoint::pass(name);            \
  } while (false)
