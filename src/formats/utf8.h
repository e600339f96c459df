// Text of unknown encoding made valid UTF-8: what is not becomes U+FFFD, since metadata ends in
// JSON.
#pragma once

#include <string>
#include <string_view>

namespace berth::formats {

// As Go's encoding/json does it, byte by byte.
std::string lossy_utf8(std::string_view text);

}  // namespace berth::formats
