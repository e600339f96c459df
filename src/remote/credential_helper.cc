#include "remote/credential_helper.h"

#include <algorithm>
#include <array>
#include <unistd.h>

#include "base/text.h"
#include "json/json.h"

namespace berth::remote {
namespace {

bool is_helper_name(std::string_view name) {
  constexpr std::string_view kAllowed =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
  return !name.empty() && name.size() <= 128 &&
         name.find_first_not_of(kAllowed) == std::string_view::npos;
}

bool says_not_found(std::string_view output) {
  // The first is the protocol's; helpers of clouds and `pass` have the others.
  constexpr std::array<std::string_view, 3> kTexts = {"credentials not found in native keychain",
                                                      "credentials not found",
                                                      "no credentials server URL"};
  return std::ranges::any_of(kTexts, [&](std::string_view text) { return output.contains(text); });
}

// A keychain is reached by what the session has in its environment (D-Bus, HOME, GPG_TTY), so the
// helper gets all of it.
std::vector<std::pair<std::string, std::string>> whole_environment() {
  std::vector<std::pair<std::string, std::string>> all;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos)
      all.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return all;
}

}  // namespace

Result<CredentialHelper> CredentialHelper::find(const std::string& name, const std::string& path,
                                                std::chrono::milliseconds timeout) {
  if (!is_helper_name(name)) {
    return fail(Code::kInvalid,
                "\"{}\" in docker's config is no name of a credential helper; mend credsStore or "
                "credHelpers there",
                printable(name, 64));
  }
  const std::string program = "docker-credential-" + name;
  auto found = process::find_program(program, path);
  if (!found) {
    return fail(
        Code::kUnavailable,
        "cannot ask {} for a login, which docker's config names: it is not on PATH; install it, "
        "or take it out of credsStore and credHelpers",
        program);
  }
  return CredentialHelper(std::move(*found), program, timeout);
}

Task<Result<process::Finished>> CredentialHelper::call(rt::Op& op, rt::Loop& loop, std::string verb,
                                                       std::string input) const {
  process::Command command;
  command.program = program_;
  command.arguments = {verb};
  command.environment = whole_environment();
  command.input = std::move(input);
  command.no_new_privileges = false;  // a keychain's helper may be setgid
  auto finished = co_await process::run_to_end(
      op, loop, std::move(command), {.output_bytes = kMaxHelperOutput, .time = timeout_});
  if (finished) co_return finished;
  CO_TRY_OK(op.check());
  switch (finished.error().code()) {
    case Code::kTimeout:
      co_return fail(Code::kTimeout, "{} {} did not answer within {}; try it by hand", name_, verb,
                     format_duration(timeout_));
    case Code::kTooLarge:
      co_return fail(Code::kUnavailable, "{} {} printed too much", name_, verb);
    default:
      co_return in_context(std::move(finished), "cannot run " + name_);
  }
}

std::unexpected<Error> CredentialHelper::refused(std::string_view verb,
                                                 const process::Finished& finished) const {
  return fail(Code::kUnavailable, "{} {} failed with {}: {}", name_, verb,
              finished.status.to_string(), printable(trim(finished.output), 200));
}

Task<Result<std::optional<Credential>>> CredentialHelper::get(rt::Op& op, rt::Loop& loop,
                                                              std::string server) const {
  CO_TRY(const process::Finished finished, co_await call(op, loop, "get", std::move(server)));
  if (!finished.status.success()) {
    if (says_not_found(finished.output)) co_return std::nullopt;
    co_return refused("get", finished);
  }
  // The text is a secret: a parse error must not quote it.
  const auto parsed = json::parse(finished.output, name_);
  if (!parsed || !parsed->is_object())
    co_return fail(Code::kUnavailable, "{} get did not print a JSON object", name_);
  const json::View reply(*parsed, name_);
  Credential credential;
  CO_TRY(credential.user, reply.string_or("Username", ""));
  CO_TRY(std::string secret, reply.string_or("Secret", ""));
  if (credential.user.empty() && secret.empty()) co_return std::nullopt;
  (credential.user == "<token>" ? credential.identity_token : credential.password) =
      Secret(std::move(secret));
  co_return credential;
}

Task<Status> CredentialHelper::store(rt::Op& op, rt::Loop& loop, std::string server,
                                     Credential credential) const {
  const bool identity = !credential.identity_token.empty();
  json::Object entry;
  entry["ServerURL"] = server;
  entry["Username"] = identity ? "<token>" : credential.user;
  entry["Secret"] = identity ? credential.identity_token.reveal() : credential.password.reveal();
  CO_TRY(const process::Finished finished,
         co_await call(op, loop, "store", json::serialize(entry)));
  if (!finished.status.success()) co_return refused("store", finished);
  co_return Status();
}

Task<Result<bool>> CredentialHelper::erase(rt::Op& op, rt::Loop& loop, std::string server) const {
  CO_TRY(const process::Finished finished, co_await call(op, loop, "erase", std::move(server)));
  if (finished.status.success()) co_return true;
  if (says_not_found(finished.output)) co_return false;
  co_return refused("erase", finished);
}

}  // namespace berth::remote
