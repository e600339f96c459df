// A model as the tar that a server's load takes, streamed from where it lies: nothing is copied.
//
// Loop thread. What `from` reads from must outlive the tar. The server verifies every byte; a file
// that changes under way fails there or here, and nothing of the model is kept.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "content/content.h"
#include "control/records.h"
#include "rt/loop.h"

namespace berth::local {

struct Outgoing {
  std::string id;                  // the manifest's digest
  std::vector<std::string> names;  // full references that it has here
  std::unique_ptr<rt::Reader> tar;
};

struct OutgoingPackage {
  Outgoing model;
  control::PackageResult result;
};

// The model whose manifest (or index) is `root`; kUnsupported when it is none.
rt::Task<Result<Outgoing>> outgoing(rt::Op& op, rt::Loop& loop,
                                    std::unique_ptr<content::Fetcher> from, oci::Descriptor root,
                                    control::Events& events);

}  // namespace berth::local
