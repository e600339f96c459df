// A stream of bytes that is pulled: a response body, a blob, a file. Loop thread.
#pragma once

#include "base/error.h"
#include "base/text.h"
#include "rt/op.h"
#include "rt/task.h"

namespace berth::rt {

struct Reader {
  // Destroying it early gives the rest up (and closes a connection if need be).
  virtual ~Reader() = default;
  // Fills at most `into`; 0 means the end was reached cleanly. A stream cut short is kUnavailable.
  virtual Task<Result<std::size_t>> read(Op& op, MutableBytes into) = 0;
};

}  // namespace berth::rt
