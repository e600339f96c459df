// The error bodies of the distribution API. Source: distribution-spec "Error Codes".
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "http/message.h"

namespace berth::registryd {

// {"errors":[{"code","message"}]}
http::Response refuse(int status, std::string_view code, std::string_view message);
// By the kind of failure; `unknown` is the code of what was not found, `invalid` that of input that
// is none.
http::Response refuse(const Error& error, std::string_view unknown, std::string_view invalid);

// The same for a read that another registry was asked for.
http::Response refuse_read(const Error& error);

}  // namespace berth::registryd
