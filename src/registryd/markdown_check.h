// For tests: whether HTML is of the few elements that a model card may become, well nested, with
// everything else escaped. It knows nothing of how the renderer works.
#pragma once

#include <string_view>
#include <vector>

namespace berth::registryd {

inline bool take(std::string_view& html, std::string_view start) {
  if (!html.starts_with(start)) return false;
  html.remove_prefix(start.size());
  return true;
}

inline bool take_entity(std::string_view& html) {
  for (const std::string_view entity : {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"})
    if (take(html, entity)) return true;
  return false;
}

// <a href="http…" rel="…">, the address without a quote.
inline bool take_link(std::string_view& html) {
  if (!take(html, "<a href=\"")) return false;
  const std::size_t end = html.find('"');
  if (end == std::string_view::npos) return false;
  std::string_view address = html.substr(0, end);
  html.remove_prefix(end);
  const bool web = address.size() > 7 && (address[0] == 'h' || address[0] == 'H') &&
                   address.find_first_of("<> \n\t'`") == std::string_view::npos;
  return web && take(html, "\" rel=\"nofollow noopener noreferrer\">");
}

inline bool take_open(std::string_view& html, std::vector<std::string_view>& open) {
  if (take(html, "<br>") || take(html, "<hr>")) return true;
  if (html.starts_with("<a ")) {
    for (const std::string_view name : open)
      if (name == "a") return false;
    open.emplace_back("a");
    return take_link(html);
  }
  if (html.starts_with("<div ")) {
    open.emplace_back("div");
    return take(html, "<div class=\"scroll\">");
  }
  for (const std::string_view name :
       {"p",     "h3",  "h4",     "h5", "h6",      "ul",         "ol",    "li",
        "code",  "pre", "strong", "em", "del",     "blockquote", "table", "thead",
        "tbody", "tr",  "th",     "td", "details", "summary"}) {
    std::string_view rest = html;
    if (!take(rest, "<") || !take(rest, name) || !take(rest, ">")) continue;
    html = rest;
    open.push_back(name);
    return true;
  }
  return false;
}

inline bool take_close(std::string_view& html, std::vector<std::string_view>& open) {
  if (open.empty() || !take(html, "</") || !take(html, open.back()) || !take(html, ">"))
    return false;
  open.pop_back();
  return true;
}

inline bool is_safe_card(std::string_view html) {
  std::vector<std::string_view> open;
  while (!html.empty()) {
    const char c = html.front();
    if (c == '&' && !take_entity(html)) return false;
    if (c == '<' && !(html.starts_with("</") ? take_close(html, open) : take_open(html, open)))
      return false;
    if (c == '>' || c == '"' || c == '\'') return false;
    if (c != '<' && c != '&') html.remove_prefix(1);
  }
  return open.empty();
}

}  // namespace berth::registryd
