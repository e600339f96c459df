#include "http/curl_library.h"

#include "base/shared_library.h"

namespace berth::http {
namespace {

CurlFunctions load() {
  const SharedLibrary library("libcurl.so.4", "libcurl4");
  CurlFunctions curl{};
  library.bind(curl.easy_cleanup, "curl_easy_cleanup");
  library.bind(curl.easy_getinfo, "curl_easy_getinfo");
  library.bind(curl.easy_init, "curl_easy_init");
  library.bind(curl.easy_pause, "curl_easy_pause");
  library.bind(curl.easy_setopt, "curl_easy_setopt");
  library.bind(curl.easy_strerror, "curl_easy_strerror");
  library.bind(curl.global_init, "curl_global_init");
  library.bind(curl.multi_add_handle, "curl_multi_add_handle");
  library.bind(curl.multi_cleanup, "curl_multi_cleanup");
  library.bind(curl.multi_info_read, "curl_multi_info_read");
  library.bind(curl.multi_init, "curl_multi_init");
  library.bind(curl.multi_remove_handle, "curl_multi_remove_handle");
  library.bind(curl.multi_setopt, "curl_multi_setopt");
  library.bind(curl.multi_socket_action, "curl_multi_socket_action");
  library.bind(curl.slist_append, "curl_slist_append");
  library.bind(curl.slist_free_all, "curl_slist_free_all");
  return curl;
}

}  // namespace

const CurlFunctions& curl() {
  static const CurlFunctions functions = load();
  return functions;
}

}  // namespace berth::http
