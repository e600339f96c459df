// Which kind of manifest a registry sent. Pure. Failure: kCorrupt (header and body disagree),
// kUnsupported (no OCI or Docker manifest).
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::remote {

// For Accept: all manifests that Berth reads.
extern const std::string_view kManifestTypes;

// `header`: the Content-Type without parameters; a general one ("application/json") leaves it to
// the body.
Result<std::string> manifest_type(std::string_view header, std::string_view body,
                                  std::string_view what);

}  // namespace berth::remote
