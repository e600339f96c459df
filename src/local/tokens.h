// control::Tokens over the token file of the data folder.
#pragma once

#include <string>

#include "control/control.h"
#include "guard/guard.h"

namespace berth::local {

class Tokens : public control::Tokens {
 public:
  explicit Tokens(const std::string& data_folder);

  Result<Created> create(std::string name, std::vector<std::string> scopes,
                         std::optional<std::chrono::seconds> lifetime) override;
  Result<std::vector<control::TokenInfo>> list() override;
  Result<bool> revoke(std::string id) override;

 private:
  guard::TokenFile file_;
};

}  // namespace berth::local
