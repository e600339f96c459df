// Ed25519 signatures (RFC 8032), verified.
#pragma once

#include "base/text.h"

namespace berth::crypto {

// False for anything that is not this key's signature over the message, also for keys and
// signatures of the wrong length.
bool verify_ed25519(Bytes public_key, Bytes message, Bytes signature);

}  // namespace berth::crypto
