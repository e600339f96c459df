#include "local/tokens.h"

namespace berth::local {
namespace {

control::TokenInfo show(const guard::Token& token) {
  control::TokenInfo info{.id = token.id, .name = token.name};
  for (const guard::Scope scope : token.scopes) info.scopes.emplace_back(guard::to_string(scope));
  info.created = token.created;
  info.expires = token.expires;
  return info;
}

guard::Time now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

}  // namespace

Tokens::Tokens(const std::string& data_folder) : file_(data_folder) {}

Result<control::Tokens::Created> Tokens::create(std::string name, std::vector<std::string> scopes,
                                                std::optional<std::chrono::seconds> lifetime) {
  TRY(guard::TokenFile::Created created,
      file_.create(std::move(name), std::move(scopes), lifetime, now()));
  return Created{show(created.token), std::move(created.secret)};
}

Result<std::vector<control::TokenInfo>> Tokens::list() {
  TRY(const guard::TokenSet set, file_.load());
  std::vector<control::TokenInfo> infos;
  for (const guard::Token& token : set.tokens()) infos.push_back(show(token));
  return infos;
}

Result<bool> Tokens::revoke(std::string id) { return file_.revoke(id); }

}  // namespace berth::local
