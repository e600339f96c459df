#include "crypto/hash.h"

#include <gtest/gtest.h>

namespace berth::crypto {
namespace {

TEST(Hash, Sha256OfTheEmptyJsonObject) {
  EXPECT_EQ(hash_hex(Algorithm::kSha256, as_bytes("{}")),
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
}

TEST(Hash, Sha512OfAbcIsTheStandardsVector) {
  EXPECT_TRUE(hash_hex(Algorithm::kSha512, as_bytes("abc"))
                  .starts_with("ddaf35a193617abacc417349ae204131"));
}

TEST(Hash, UpdatesAddUp) {
  Hasher hasher(Algorithm::kSha256);
  hasher.update(as_bytes("a"));
  hasher.update(as_bytes("bc"));
  EXPECT_EQ(hex_encode(hasher.finish()), hash_hex(Algorithm::kSha256, as_bytes("abc")));
}

TEST(Hmac, MatchesRfc4231Case2) {
  EXPECT_EQ(hex_encode(as_bytes(hmac_sha256("Jefe", "what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Random, IsNotRepeated) {
  EXPECT_EQ(random_hex(16).size(), 32u);
  EXPECT_NE(random_hex(16), random_hex(16));
}

TEST(ConstantTime, ComparesContent) {
  EXPECT_TRUE(constant_time_equal("abc", "abc"));
  EXPECT_FALSE(constant_time_equal("abc", "abd"));
  EXPECT_FALSE(constant_time_equal("abc", "ab"));
}

}  // namespace
}  // namespace berth::crypto
