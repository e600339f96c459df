#include "registryd/inline_markdown.h"

#include <algorithm>
#include <cstddef>
#include <optional>

#include "base/text.h"

namespace berth::registryd {
namespace {

// Every mark looks so far for its end: that bounds the time that a hostile text can take.
constexpr std::size_t kWindow = 1000;
constexpr std::size_t kMostAddress = 2000;
constexpr int kMostDepth = 3;  // of marks in each other

enum class Links { kAllow, kRefuse };  // there are none inside of one

struct Context {
  int depth = 0;
  Links links = Links::kAllow;
};

// What stands at a place: so many bytes, shown so.
struct Mark {
  std::size_t length = 0;
  Html html;
};

Html render(std::string_view text, Context context);

Html inside(std::string_view text, Context context) {
  ++context.depth;
  return context.depth > kMostDepth ? Html().text(text) : render(text, context);
}

bool is_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || byte >= 0x80;
}
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n'; }
bool is_punctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
         (c >= '{' && c <= '~');
}

std::size_t run_of(std::string_view text, char c) {
  return std::min(text.find_first_not_of(c), text.size());
}

Mark plain(std::string_view text) { return {.length = text.size(), .html = Html().text(text)}; }

bool is_web_address(std::string_view address) {
  const std::string start = to_lower(address.substr(0, 8));
  const std::size_t scheme = start.starts_with("https://")  ? 8
                             : start.starts_with("http://") ? 7
                                                            : 0;
  if (scheme == 0 || address.size() <= scheme || address.size() > kMostAddress) return false;
  return std::ranges::none_of(address, [](char c) {
    return static_cast<unsigned char>(c) <= 0x20 || c == 0x7F ||
           std::string_view("\"'<>`\\").contains(c);
  });
}

Html link(std::string_view address, const Html& label) {
  return Html()
      .markup("<a href=\"")
      .text(address)
      .markup("\" rel=\"nofollow noopener noreferrer\">")
      .add(label)
      .markup("</a>");
}

std::optional<Mark> read_escape(std::string_view rest) {
  if (rest.size() < 2) return std::nullopt;
  if (rest[1] == '\n') return Mark{.length = 2, .html = Html("<br>")};
  if (!is_punctuation(rest[1])) return std::nullopt;
  return Mark{.length = 2, .html = Html().text(rest.substr(1, 1))};
}

Mark read_code(std::string_view rest) {
  const std::size_t ticks = run_of(rest, '`');
  const std::string_view window = rest.substr(ticks, kWindow);
  for (std::size_t at = window.find('`'); at != std::string_view::npos;) {
    const std::size_t run = run_of(window.substr(at), '`');
    if (run == ticks) {
      const std::string_view code = window.substr(0, at);
      const bool padded = code.size() > 2 && code.front() == ' ' && code.back() == ' ';
      return {.length = ticks + at + run,
              .html = Html().element("<code>", padded ? code.substr(1, code.size() - 2) : code,
                                     "</code>")};
    }
    at = window.find('`', at + run);
  }
  return plain(rest.substr(0, ticks));
}

// Where the run of `count` times `c` that closes begins; npos when none does.
std::size_t find_close(std::string_view window, char c, std::size_t count) {
  for (std::size_t at = window.find(c); at != std::string_view::npos;) {
    const std::size_t run = run_of(window.substr(at), c);
    const char after = at + run < window.size() ? window[at + run] : ' ';
    const bool closes = run >= count && at > 0 && !is_space(window[at - 1]) &&
                        (c != '_' || !is_word(after)) && (count > 1 || run != 2);
    if (closes) return at + run - count;
    at = window.find(c, at + run);
  }
  return std::string_view::npos;
}

Html emphasized(char c, std::size_t count, const Html& text) {
  if (c == '~') return Html("<del>").add(text).markup("</del>");
  if (count == 2) return Html("<strong>").add(text).markup("</strong>");
  return Html("<em>").add(text).markup("</em>");
}

Mark read_emphasis(std::string_view rest, char before, Context context) {
  const char c = rest[0];
  const std::size_t run = run_of(rest, c);
  const std::size_t count = run >= 2 ? 2 : 1;
  const bool opens = run <= 3 && run < rest.size() && !is_space(rest[run]) &&
                     (c != '_' || !is_word(before)) && (c != '~' || run == 2);
  if (!opens) return plain(rest.substr(0, run));
  const std::string_view window = rest.substr(count, kWindow);
  const std::size_t close = find_close(window, c, count);
  if (close == std::string_view::npos || close == 0) return plain(rest.substr(0, run));
  return {.length = count + close + count,
          .html = emphasized(c, count, inside(window.substr(0, close), context))};
}

// Behind "[": where its "]" is.
std::size_t find_bracket(std::string_view window) {
  int open = 0;
  for (std::size_t i = 0; i < window.size(); ++i) {
    if (window[i] == '\\') {
      ++i;
    } else if (window[i] == '[') {
      ++open;
    } else if (window[i] == ']' && open-- == 0) {
      return i;
    }
  }
  return std::string_view::npos;
}

// Behind "(": where its ")" is; addresses may have pairs of them.
std::size_t find_parenthesis(std::string_view window) {
  int open = 0;
  for (std::size_t i = 0; i < window.size(); ++i) {
    if (window[i] == '(') ++open;
    if (window[i] == ')' && open-- == 0) return i;
  }
  return std::string_view::npos;
}

// <address> or address, and perhaps a title that nobody needs.
std::string_view address_in(std::string_view text) {
  text = trim(text);
  if (text.starts_with('<')) return text.substr(1, std::min(text.find('>'), text.size()) - 1);
  return text.substr(0, text.find_first_of(" \t\n"));
}

struct LinkText {
  std::string_view label;
  std::string_view address;
  std::size_t length = 0;
};
// `rest` begins with "[".
std::optional<LinkText> read_link_text(std::string_view rest) {
  const std::size_t label = find_bracket(rest.substr(1, kWindow));
  if (label == std::string_view::npos || !rest.substr(label + 2).starts_with('('))
    return std::nullopt;
  const std::string_view tail = rest.substr(label + 3, kMostAddress);
  const std::size_t end = find_parenthesis(tail);
  if (end == std::string_view::npos) return std::nullopt;
  return LinkText{.label = rest.substr(1, label),
                  .address = address_in(tail.substr(0, end)),
                  .length = label + 3 + end + 1};
}

// A link that leads elsewhere than to the web is only its text.
std::optional<Mark> read_link(std::string_view rest, Context context) {
  const auto found = read_link_text(rest);
  if (!found) return std::nullopt;
  const bool links = context.links == Links::kAllow && is_web_address(found->address);
  if (links) context.links = Links::kRefuse;
  Html label = inside(found->label, context);
  if (!links) return Mark{.length = found->length, .html = std::move(label)};
  if (label.empty()) label.text(found->address);
  return Mark{.length = found->length, .html = link(found->address, label)};
}

// Nothing is loaded from elsewhere: an image is a link to it.
std::optional<Mark> read_image(std::string_view rest, Context context) {
  if (!rest.substr(1).starts_with('[')) return std::nullopt;
  const auto found = read_link_text(rest.substr(1));
  if (!found) return std::nullopt;
  Html label = Html().text(found->label.empty() ? "image" : found->label);
  if (context.links == Links::kAllow && is_web_address(found->address))
    label = link(found->address, label);
  return Mark{.length = found->length + 1, .html = std::move(label)};
}

std::optional<Mark> read_angle(std::string_view rest, Context context) {
  const std::string_view window = rest.substr(1, kMostAddress);
  const std::size_t end = window.find('>');
  if (end == std::string_view::npos || context.links == Links::kRefuse) return std::nullopt;
  const std::string_view address = window.substr(0, end);
  if (!is_web_address(address)) return std::nullopt;
  return Mark{.length = end + 2, .html = link(address, Html().text(address))};
}

std::optional<Mark> read_bare_address(std::string_view rest, char before, Context context) {
  if (is_word(before) || context.links == Links::kRefuse) return std::nullopt;
  if (!rest.starts_with("http://") && !rest.starts_with("https://")) return std::nullopt;
  std::string_view address = rest.substr(0, kMostAddress);
  address = address.substr(0, address.find_first_of(" \t\n<>\"'`)]|\\"));
  while (!address.empty() && std::string_view(".,;:!?*_").contains(address.back()))
    address.remove_suffix(1);
  if (!is_web_address(address)) return std::nullopt;
  return Mark{.length = address.size(), .html = link(address, Html().text(address))};
}

std::optional<Mark> read_mark(std::string_view text, std::size_t at, Context context) {
  const std::string_view rest = text.substr(at);
  const char before = at > 0 ? text[at - 1] : ' ';
  switch (rest[0]) {
    case '\\':
      return read_escape(rest);
    case '\n':
      if (at < 2 || text.substr(at - 2, 2) != "  ") return std::nullopt;
      return Mark{.length = 1, .html = Html("<br>")};
    case '`':
      return read_code(rest);
    case '*':
    case '_':
    case '~':
      return read_emphasis(rest, before, context);
    case '[':
      return read_link(rest, context);
    case '!':
      return read_image(rest, context);
    case '<':
      return read_angle(rest, context);
    case 'h':
      return read_bare_address(rest, before, context);
    default:
      return std::nullopt;
  }
}

Html render(std::string_view text, Context context) {
  Html html;
  std::size_t shown = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto mark = read_mark(text, at, context);
    if (!mark) {
      ++at;
      continue;
    }
    html.text(text.substr(shown, at - shown)).add(mark->html);
    at += mark->length;
    shown = at;
  }
  return html.text(text.substr(shown));
}

}  // namespace

Html render_inline(std::string_view text) { return render(text, {}); }

}  // namespace berth::registryd
