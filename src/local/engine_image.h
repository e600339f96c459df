// An engine from a container image: pulled, unpacked, and handed to engine to be tried and used.
//
// Loop thread. The image never comes into the user's store: its blobs are verified in one that goes
// when the work is done. Failures: those of a pull; kUnsupported (a model, another platform, no
// llama-server), kTooLarge, kCorrupt (a hostile layer), kUnavailable (does not run here).
#pragma once

#include <string>

#include "control/control.h"
#include "local/shared.h"

namespace berth::local {

// Returns the version, as `status` shows it.
rt::Task<Result<std::string>> install_engine_image(rt::Op& op, Shared& shared, std::string image,
                                                   control::Events& events);

}  // namespace berth::local
