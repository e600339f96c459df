// Names of a mirror: ?ns= says whose repository a path names, and names that are not here may stand
// for another registry's. The place is changed to where these are here, before anybody asks what
// the caller may do there. Private to registryd.
//
// Source: distribution-spec (main) "Registry Proxying"; containerd's hosts.toml.
#pragma once

#include <optional>
#include <string>

#include "registryd/call.h"

namespace berth::registryd {

struct Naming {
  std::string source;               // of the ?ns= that was followed
  std::optional<Response> refusal;  // one that is no mirror's here
};
// Only for reads. A registry that mirrors nothing passes ?ns= over.
Naming name_source(const Options& options, const Request& request, Place& place);

// Options::fallback, for a repository that is not here. Not where a client looks whether it has to
// push something.
rt::Task<Status> fall_back(rt::Op& op, Context& context, const Request& request, Place& place);

}  // namespace berth::registryd
