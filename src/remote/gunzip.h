// A body that was compressed though nobody asked for it (RFC 9110 section 8.4.1.3), unpacked within
// bounds. Loop thread.
#pragma once

#include <memory>
#include <string>

#include "http/message.h"
#include "rt/reader.h"

namespace berth::remote {

// The body's bytes as they were before any Content-Encoding; at most `limit` of them are unpacked,
// more is kCorrupt, as is what is no gzip. kCorrupt for encodings that are not known.
Result<std::unique_ptr<rt::Reader>> decoded(http::Response response, std::uint64_t limit,
                                            std::string what);
// Whether there is something to decode.
bool is_encoded(const http::Headers& headers);

}  // namespace berth::remote
