// Header fields of the distribution protocol as values: ranges, links, waits, digests. Pure; what
// is malformed is absent. Sources: RFC 9110 (Content-Range, Retry-After), RFC 8288 (Link),
// distribution-spec 1.1.1.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "oci/digest.h"

namespace berth::remote {

struct ContentRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;              // inclusive
  std::optional<std::uint64_t> total;  // absent for "*"
};
// "bytes 0-99/1000".
std::optional<ContentRange> parse_content_range(std::string_view field);

// How many bytes an upload has, from the Range of a 202 or 204: "0-99" or "bytes=0-99" is 100.
// "0-0" is 1, though some registries say it for an empty session.
std::optional<std::uint64_t> parse_upload_range(std::string_view field);

// The target of rel="next" in a Link field.
std::optional<std::string> parse_next_link(std::string_view field);

// Retry-After, in seconds or as a date; a date counts from the answer's own Date, else from `now`.
std::optional<std::chrono::seconds> retry_after(const http::Headers& headers,
                                                std::chrono::sys_seconds now);

// "Sun, 06 Nov 1994 08:49:37 GMT".
std::optional<std::chrono::sys_seconds> parse_http_date(std::string_view text);

// The texts of Warning fields of the form `299 - "text"`, printable; at most 4096 bytes of them
// (distribution-spec, "Warnings").
std::vector<std::string> warnings(const http::Headers& headers);

std::optional<oci::Digest> content_digest(const http::Headers& headers);  // Docker-Content-Digest
std::optional<std::uint64_t> content_length(const http::Headers& headers);
std::string media_type(
    const http::Headers& headers);  // Content-Type, lower case, without parameters

}  // namespace berth::remote
