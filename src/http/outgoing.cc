#include "http/outgoing.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>

namespace berth::http {
namespace {

using Kind = BodyFraming::Kind;

constexpr std::size_t kReaderPiece = 256 * 1024;
constexpr std::size_t kFirstReaderPiece = 16 * 1024;

struct Reason {
  int status;
  std::string_view text;
};
constexpr std::array kReasons = {
    Reason{200, "OK"},
    Reason{201, "Created"},
    Reason{202, "Accepted"},
    Reason{204, "No Content"},
    Reason{206, "Partial Content"},
    Reason{301, "Moved Permanently"},
    Reason{302, "Found"},
    Reason{303, "See Other"},
    Reason{304, "Not Modified"},
    Reason{307, "Temporary Redirect"},
    Reason{308, "Permanent Redirect"},
    Reason{400, "Bad Request"},
    Reason{401, "Unauthorized"},
    Reason{403, "Forbidden"},
    Reason{404, "Not Found"},
    Reason{405, "Method Not Allowed"},
    Reason{406, "Not Acceptable"},
    Reason{408, "Request Timeout"},
    Reason{409, "Conflict"},
    Reason{410, "Gone"},
    Reason{411, "Length Required"},
    Reason{412, "Precondition Failed"},
    Reason{413, "Content Too Large"},
    Reason{415, "Unsupported Media Type"},
    Reason{416, "Range Not Satisfiable"},
    Reason{417, "Expectation Failed"},
    Reason{421, "Misdirected Request"},
    Reason{422, "Unprocessable Content"},
    Reason{429, "Too Many Requests"},
    Reason{431, "Request Header Fields Too Large"},
    Reason{500, "Internal Server Error"},
    Reason{501, "Not Implemented"},
    Reason{502, "Bad Gateway"},
    Reason{503, "Service Unavailable"},
    Reason{504, "Gateway Timeout"},
    Reason{505, "HTTP Version Not Supported"},
    Reason{507, "Insufficient Storage"},
};

constexpr std::array<std::string_view, 6> kOurHeaders = {
    "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te"};

bool is_ours(std::string_view name) {
  return std::ranges::any_of(kOurHeaders, [name](auto ours) { return iequals(ours, name); });
}

bool is_token_char(char c) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         kMarks.find(c) != std::string_view::npos;
}

bool is_value_char(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return c == '\t' || (byte >= 0x20 && byte != 0x7F);
}

void append_field(std::string& head, std::string_view name, std::string_view value) {
  head.append(name).append(": ").append(value).append("\r\n");
}

void append_fields(std::string& head, const Headers& headers) {
  for (const auto& [name, value] : headers) {
    if (!is_ours(name)) append_field(head, name, value);
  }
}

void append_framing(std::string& head, const BodyFraming& framing) {
  if (framing.kind == Kind::kLength)
    append_field(head, "Content-Length", std::to_string(framing.length));
  if (framing.kind == Kind::kChunked) append_field(head, "Transfer-Encoding", "chunked");
}

// The clock's second as a header value, formatted once a second (RFC 9110 section 6.6.1).
const std::string& http_date() {
  static thread_local std::time_t last = 0;
  static thread_local std::string text;
  const std::time_t now = std::time(nullptr);
  if (now != last) {
    constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed",
                                                       "Thu", "Fri", "Sat"};
    constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::tm utc{};
    gmtime_r(&now, &utc);
    text = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
                       kDays[static_cast<std::size_t>(utc.tm_wday)], utc.tm_mday,
                       kMonths[static_cast<std::size_t>(utc.tm_mon)], utc.tm_year + 1900,
                       utc.tm_hour, utc.tm_min, utc.tm_sec);
    last = now;
  }
  return text;
}

rt::Task<Status> send_chunk(rt::Op& op, Stream& stream, std::string& head, Bytes data,
                            std::chrono::milliseconds stall) {
  fmt::format_to(std::back_inserter(head), "{:x}\r\n", data.size());
  std::array<Bytes, 3> pieces = {as_bytes(head), data, as_bytes("\r\n")};
  const Status sent = co_await stream.write(op, std::span<Bytes>(pieces), stall);
  head.clear();
  co_return sent;
}

rt::Task<Status> send_plain(rt::Op& op, Stream& stream, std::string& head, Bytes data,
                            std::chrono::milliseconds stall) {
  std::array<Bytes, 2> pieces = {as_bytes(head), data};
  const Status sent = co_await stream.write(op, std::span<Bytes>(pieces), stall);
  head.clear();
  co_return sent;
}

Status check_length(std::uint64_t sent, const BodyFraming& framing, bool ended) {
  const bool fits = ended ? sent == framing.length : sent <= framing.length;
  if (framing.kind != Kind::kLength || fits) return {};
  return fail(Code::kInternal, "a body of {} bytes was announced and {} came", framing.length,
              sent);
}

// The head goes out with the first bytes of the body when those are there at once, and alone when
// they are not: the peer of an event stream wants to know that it was accepted. A Reader cannot
// tell, so the head goes first; it costs one system call.
rt::Task<Status> send_reader(rt::Op& op, Stream& stream, std::string head, Reader& reader,
                             BodyFraming framing, std::chrono::milliseconds stall) {
  CO_TRY_OK(co_await stream.write(op, as_bytes(head), stall));
  head.clear();
  std::vector<std::byte> piece(kFirstReaderPiece);
  std::uint64_t sent = 0;
  while (true) {
    CO_TRY(const std::size_t n, co_await reader.read(op, piece));
    const Bytes data = Bytes(piece).first(n);
    sent += n;
    CO_TRY_OK(check_length(sent, framing, n == 0));
    if (n == 0) break;
    if (framing.kind == Kind::kChunked) {
      CO_TRY_OK(co_await send_chunk(op, stream, head, data, stall));
    } else {
      CO_TRY_OK(co_await send_plain(op, stream, head, data, stall));
    }
    if (n == piece.size() && n < kReaderPiece) piece.resize(n * 2);
  }
  if (framing.kind == Kind::kChunked)
    co_return co_await stream.write(op, as_bytes("0\r\n\r\n"), stall);
  co_return Status();
}

}  // namespace

BodyFraming framing_of(const Body& body, HttpVersion version) {
  if (const auto* text = std::get_if<std::string>(&body.content)) {
    return {.kind = Kind::kLength, .length = text->size()};
  }
  if (const auto* range = std::get_if<FileRange>(&body.content)) {
    return {.kind = Kind::kLength, .length = range->length};
  }
  if (!std::get<std::unique_ptr<Reader>>(body.content)) return {.kind = Kind::kLength};
  if (body.length) return {.kind = Kind::kLength, .length = *body.length};
  return {.kind = version == HttpVersion::k11 ? Kind::kChunked : Kind::kUntilClose};
}

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, is_token_char);
}

Status check_headers(const Headers& headers) {
  for (const auto& [name, value] : headers) {
    if (!is_token(name)) {
      return fail(Code::kInvalid, "\"{}\" cannot be the name of a header", printable(name, 80));
    }
    if (!std::ranges::all_of(value, is_value_char)) {
      return fail(Code::kInvalid, "the value of header {} holds a control character", name);
    }
  }
  return {};
}

std::string_view reason_of(int status) {
  const auto found = std::ranges::find(kReasons, status, &Reason::status);
  return found == kReasons.end() ? "Unknown" : found->text;
}

std::string request_head(const Request& request, const BodyFraming& framing) {
  std::string head = request.method;
  head.append(" ").append(request.url.path.empty() ? "/" : request.url.path);
  if (!request.url.query.empty()) head.append("?").append(request.url.query);
  head.append(" HTTP/1.1\r\n");
  if (!request.headers.get("Host")) {
    append_field(head, "Host", request.url.host.empty() ? "localhost" : request.url.authority());
  }
  append_fields(head, request.headers);
  const bool announces =
      framing.kind != Kind::kLength || framing.length > 0 ||
      (request.method != "GET" && request.method != "HEAD" && request.method != "DELETE");
  if (announces) append_framing(head, framing);
  return head.append("\r\n");
}

std::string response_head(const Response& response, const BodyFraming& framing,
                          std::string_view connection, HttpVersion version) {
  std::string head = fmt::format("HTTP/{} {} {}\r\n", version == HttpVersion::k11 ? "1.1" : "1.0",
                                 response.status, reason_of(response.status));
  append_fields(head, response.headers);
  if (!response.headers.get("Date")) append_field(head, "Date", http_date());
  append_framing(head, framing);
  if (!connection.empty()) append_field(head, "Connection", connection);
  return head.append("\r\n");
}

rt::Task<Status> send_message(rt::Op& op, Stream& stream, std::string head, Body& body,
                              BodyFraming framing, std::chrono::milliseconds stall) {
  if (auto* text = std::get_if<std::string>(&body.content)) {
    co_return co_await send_plain(op, stream, head, as_bytes(*text), stall);
  }
  if (const auto* range = std::get_if<FileRange>(&body.content)) {
    CO_TRY_OK(co_await stream.write(op, as_bytes(head), stall));
    co_return co_await stream.send_file(op, *range, stall);
  }
  const auto& reader = std::get<std::unique_ptr<Reader>>(body.content);
  if (!reader) co_return co_await stream.write(op, as_bytes(head), stall);
  co_return co_await send_reader(op, stream, std::move(head), *reader, framing, stall);
}

}  // namespace berth::http
