// Any text as each header field that a registry answers with.
#include "base/assert.h"
#include "remote/field.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto range = remote::parse_content_range(text)) {
    BERTH_ASSERT(range->first <= range->last);
    BERTH_ASSERT(!range->total || range->last < *range->total);
  }
  static_cast<void>(remote::parse_upload_range(text));
  static_cast<void>(remote::parse_next_link(text));
  static_cast<void>(remote::parse_http_date(text));
  http::Headers headers;
  for (const char* name : {"Retry-After", "Date", "Docker-Content-Digest", "Content-Length",
                           "Content-Type", "Warning"}) {
    headers.set(name, text);
  }
  if (const auto wait = remote::retry_after(headers, std::chrono::sys_seconds()))
    BERTH_ASSERT(wait->count() >= 0);
  static_cast<void>(remote::warnings(headers));
  static_cast<void>(remote::content_digest(headers));
  static_cast<void>(remote::content_length(headers));
  static_cast<void>(remote::media_type(headers));
  return 0;
}
