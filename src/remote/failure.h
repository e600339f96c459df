// Registry answers that are not what was hoped for, as errors for people. Loop thread for reading
// the body; the rest is pure. Source: distribution-spec 1.1 error bodies; facts/oci.md A3.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace berth::remote {

struct RegistryErrors {
  std::vector<std::string> codes;  // "MANIFEST_UNKNOWN"
  std::string text;  // "MANIFEST_UNKNOWN: manifest unknown", printable and bounded; "" when it was
                     // no such body

  bool has(std::string_view code) const;
};
RegistryErrors parse_errors(std::string_view body);

// `doing`: "cannot push ai/x"; `registry`: what the user calls it, for `berth login`.
Error answer_error(std::string_view doing, std::string_view registry, int status,
                   const http::Headers& headers, std::string_view body);
// The same, reading the body (at most 64 KiB of it).
rt::Task<Error> answer_error(rt::Op& op, std::string doing, std::string registry,
                             http::Response response);

}  // namespace berth::remote
