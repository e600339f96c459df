// libcurl's failures as Berth's: a code, a sentence with the host, and what to do. Private to http.
#pragma once

#include <curl/curl.h>
#include <string_view>

#include "base/error.h"
#include "http/client.h"
#include "http/message.h"

namespace berth::http {

// `detail` is curl's own text, may be empty.
Error curl_error(CURLcode code, const Url& url, std::string_view detail,
                 const ClientOptions& options);

}  // namespace berth::http
