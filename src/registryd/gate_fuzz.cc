// Any text as what callers say of themselves: Authorization, X-Forwarded-For, a scope that is asked
// for, the claims of a token that is signed rightly, a line of a file of users.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "guard/htpasswd.h"
#include "registryd/gate.h"

namespace {

using namespace berth;

constexpr std::string_view kKey = "key of the fuzzer";
constexpr std::string_view kService = "berth-registry";
// A key that is known, so that its signatures are looked at.
constexpr std::string_view kSigner =
    "alice ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n";

std::string base64url(std::string_view text) {
  std::string coded = base64_encode(as_bytes(text));
  std::ranges::replace(coded, '+', '-');
  std::ranges::replace(coded, '/', '_');
  while (coded.ends_with('=')) coded.pop_back();
  return coded;
}

// Users are asked for, and there are none: nothing that is sent may open anything.
struct Door {
  rt::Loop loop;
  rt::Op op;
  std::unique_ptr<registryd::Gate> gate =
      registryd::Gate::open(loop, {.tokens = "/nonexistent",
                                   .rules = {"* * **"},
                                   .key = std::string(kKey),
                                   .limits = {.requests = 0, .uploads = 0}})
          .value();

  Result<registryd::Caller> knock(std::string_view authorization) {
    http::Request request{.method = "GET"};
    request.peer = "192.0.2.1";
    request.headers.set("Host", "registry.example");
    request.headers.set("Authorization", authorization);
    return loop.run(gate->identify(op, request, registryd::Gate::Late::kAccept));
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Door door;
  static const guard::Signers signers = guard::Signers::parse(kSigner, "signers").value();
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  BERTH_ASSERT(!door.knock(text));
  BERTH_ASSERT(!door.knock("Basic " + base64_encode(as_bytes(text))));
  BERTH_ASSERT(!guard::verify(text, kService, kKey));
  const std::string body = "e30." + base64url(text);
  const std::string signed_text = body + "." + base64url(crypto::hmac_sha256(kKey, body));
  const auto token = guard::verify(signed_text, kService, kKey);
  const auto caller = door.knock("Bearer " + signed_text);
  BERTH_ASSERT(token || !caller);
  if (caller) BERTH_ASSERT(caller->subject == token->subject && token->credential.empty());

  BERTH_ASSERT(!signers.signer(text, "message"));
  const std::string_view key = kSigner.substr(18, kSigner.size() - 19);
  BERTH_ASSERT(!signers.signer(std::string(key).append(":").append(text), "message"));
  const auto asked = guard::parse_scope_request(text);
  if (asked && asked->catalog) BERTH_ASSERT(asked->access.actions.none());
  (void)guard::Htpasswd::parse(text, "users");

  http::Request request{.method = "GET"};
  request.peer = "192.0.2.1";
  request.headers.set("X-Forwarded-For", text);
  BERTH_ASSERT(door.gate->client_of(request, nullptr) == "192.0.2.1");
  return 0;
}
