// From an engine's last words to a sentence. Pure; private to engine.
#pragma once

#include <string_view>

#include "base/error.h"
#include "process/child.h"

namespace berth::engine {

Error explain_end(const process::ExitStatus& status, const process::Tail& output,
                  bool out_of_memory);

}  // namespace berth::engine
