#include "crypto/ed25519.h"

#include <gtest/gtest.h>

namespace berth::crypto {
namespace {

std::vector<std::byte> bytes(std::string_view hex) { return hex_decode(hex).value(); }

// RFC 8032 section 7.1, tests 2 and 1.
TEST(Ed25519, VerifiesTheVectorsOfItsStandard) {
  const auto key = bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  const auto signature = bytes(
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
  EXPECT_TRUE(verify_ed25519(key, bytes("72"), signature));
  EXPECT_FALSE(verify_ed25519(key, bytes("73"), signature));
  EXPECT_FALSE(verify_ed25519(key, {}, signature));
  EXPECT_FALSE(
      verify_ed25519(bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
                     bytes("72"), signature));
}

TEST(Ed25519, WhatIsNoKeyOrSignatureVerifiesNothing) {
  EXPECT_FALSE(verify_ed25519({}, bytes("72"), bytes("00")));
  EXPECT_FALSE(verify_ed25519(bytes(std::string(62, '0')), bytes("72"), {}));
  EXPECT_FALSE(verify_ed25519(bytes(std::string(64, '0')), bytes("72"), bytes("00")));
}

}  // namespace
}  // namespace berth::crypto
