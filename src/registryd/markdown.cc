#include "registryd/markdown.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "registryd/inline_markdown.h"

namespace berth::registryd {
namespace {

constexpr int kMostDepth = 4;  // of lists and quotes in each other
constexpr std::size_t kMostColumns = 20;
constexpr std::size_t kMostFrontMatter = 1000;  // lines of it
constexpr std::size_t kMostFacts = 50;
constexpr std::size_t kMostFact = 500;  // bytes of one

using Lines = std::vector<std::string_view>;

struct Cursor {
  const Lines& lines;
  std::size_t at = 0;
  int depth = 0;

  bool ended() const { return at >= lines.size(); }
  std::string_view line() const { return lines[at]; }
};

Html render_blocks(const Lines& lines, int depth);

Lines lines_of(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::size_t indent_of(std::string_view line) {
  return std::min(line.find_first_not_of(" \t"), line.size());
}
std::string_view dedented(std::string_view line, std::size_t most) {
  return line.substr(std::min(indent_of(line), most));
}
bool is_blank(std::string_view line) { return trim(line).empty(); }

// "```" or more of it, or of "~": what opens and closes a block of code.
std::string_view fence_of(std::string_view line) {
  line = dedented(line, line.size());
  if (!line.starts_with("```") && !line.starts_with("~~~")) return {};
  return line.substr(0, line.find_first_not_of(line[0]));
}

std::size_t heading_level(std::string_view line) {
  const std::size_t level = std::min(line.find_first_not_of('#'), line.size());
  const bool heads = level >= 1 && level <= 6 && (line.size() == level || line[level] == ' ');
  return heads ? level : 0;
}

bool is_rule(std::string_view line) {
  std::size_t marks = 0;
  const char mark = trim(line).empty() ? ' ' : trim(line)[0];
  if (!std::string_view("-*_").contains(mark)) return false;
  for (const char c : line) {
    if (c == mark) ++marks;
    if (c != mark && c != ' ' && c != '\t') return false;
  }
  return marks >= 3;
}

bool is_quote(std::string_view line) { return dedented(line, 3).starts_with('>'); }

struct Item {
  bool ordered = false;
  std::size_t content = 0;  // where the text begins
};
std::optional<Item> item_of(std::string_view line) {
  const std::size_t indent = indent_of(line);
  const std::string_view rest = line.substr(indent);
  const std::size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
  const bool ordered = digits >= 1 && digits <= 9;
  const std::size_t marker = ordered ? digits : 0;
  if (marker >= rest.size()) return std::nullopt;
  if (!std::string_view(ordered ? ".)" : "-*+").contains(rest[marker])) return std::nullopt;
  if (marker + 1 < rest.size() && rest[marker + 1] != ' ' && rest[marker + 1] != '\t')
    return std::nullopt;
  return Item{.ordered = ordered, .content = std::min(indent + marker + 2, line.size())};
}

bool is_table_rule(std::string_view line) {
  return line.contains('-') && line.contains('|') &&
         line.find_first_not_of("|-: \t") == std::string_view::npos;
}
bool begins_table(const Lines& lines, std::size_t at) {
  return at + 1 < lines.size() && lines[at].contains('|') && is_table_rule(lines[at + 1]);
}

bool begins_block(const Lines& lines, std::size_t at) {
  const std::string_view line = lines[at];
  return !fence_of(line).empty() || heading_level(line) > 0 || is_rule(line) || is_quote(line) ||
         item_of(line) || begins_table(lines, at);
}

std::string joined(const Lines& lines) {
  std::string text;
  for (const std::string_view line : lines) text.append(line).push_back('\n');
  if (!text.empty()) text.pop_back();
  return text;
}

// Each reads one block at the cursor; false when it does not begin there.

bool read_fence(Cursor& cursor, Html& html) {
  const std::string_view fence = fence_of(cursor.line());
  if (fence.empty()) return false;
  const std::size_t indent = indent_of(cursor.line());
  Lines code;
  for (++cursor.at; !cursor.ended(); ++cursor.at) {
    const std::string_view line = cursor.line();
    if (trim(line).starts_with(fence) &&
        trim(line).find_first_not_of(fence[0]) == std::string_view::npos) {
      ++cursor.at;
      break;
    }
    code.push_back(dedented(line, indent));
  }
  html.element("<pre><code>", joined(code), "</code></pre>\n");
  return true;
}

// The page has headings of its own above the card's.
Html heading(std::size_t level, const Html& text) {
  switch (level) {
    case 1:
      return Html("<h3>").add(text).markup("</h3>\n");
    case 2:
      return Html("<h4>").add(text).markup("</h4>\n");
    case 3:
      return Html("<h5>").add(text).markup("</h5>\n");
    default:
      return Html("<h6>").add(text).markup("</h6>\n");
  }
}

bool read_heading(Cursor& cursor, Html& html) {
  const std::size_t level = heading_level(cursor.line());
  if (level == 0) return false;
  std::string_view text = trim(cursor.line().substr(level));
  while (text.ends_with('#')) text.remove_suffix(1);
  html.add(heading(level, render_inline(trim(text))));
  ++cursor.at;
  return true;
}

bool read_rule(Cursor& cursor, Html& html) {
  if (!is_rule(cursor.line())) return false;
  html.markup("<hr>\n");
  ++cursor.at;
  return true;
}

bool read_quote(Cursor& cursor, Html& html) {
  if (!is_quote(cursor.line())) return false;
  Lines inside;
  for (; !cursor.ended() && is_quote(cursor.line()); ++cursor.at)
    inside.push_back(dedented(dedented(cursor.line(), 3).substr(1), 1));
  html.markup("<blockquote>")
      .add(render_blocks(inside, cursor.depth + 1))
      .markup("</blockquote>\n");
  return true;
}

std::vector<std::string> cells_of(std::string_view line) {
  line = trim(line);
  if (line.starts_with('|')) line.remove_prefix(1);
  std::vector<std::string> cells(1);
  for (std::size_t i = 0; i < line.size(); ++i) {
    const bool escaped = line[i] == '\\' && i + 1 < line.size() && line[i + 1] == '|';
    if (escaped) {
      cells.back().push_back(line[++i]);
    } else if (line[i] != '|') {
      cells.back().push_back(line[i]);
    } else if (cells.size() == kMostColumns || i + 1 == line.size()) {
      break;
    } else {
      cells.emplace_back();
    }
  }
  return cells;
}

bool read_table(Cursor& cursor, Html& html) {
  if (!begins_table(cursor.lines, cursor.at)) return false;
  html.markup("<div class=\"scroll\"><table><thead><tr>");
  for (const std::string& cell : cells_of(cursor.line()))
    html.markup("<th>").add(render_inline(trim(cell))).markup("</th>");
  html.markup("</tr></thead><tbody>\n");
  cursor.at += 2;
  for (; !cursor.ended() && cursor.line().contains('|'); ++cursor.at) {
    html.markup("<tr>");
    for (const std::string& cell : cells_of(cursor.line()))
      html.markup("<td>").add(render_inline(trim(cell))).markup("</td>");
    html.markup("</tr>\n");
  }
  html.markup("</tbody></table></div>\n");
  return true;
}

// One item's lines: its own, those that are indented as its text is, and what follows its paragraph
// without a mark.
Lines take_item(Cursor& cursor, const Item& item) {
  Lines inside{cursor.line().substr(item.content)};
  for (++cursor.at; !cursor.ended(); ++cursor.at) {
    const std::string_view line = cursor.line();
    const bool deeper = indent_of(line) >= std::min<std::size_t>(item.content, 2) &&
                        indent_of(line) + 2 > item.content;
    const bool goes_on = !is_blank(inside.back()) && !begins_block(cursor.lines, cursor.at);
    if (!is_blank(line) && !deeper && !goes_on) break;
    inside.push_back(dedented(line, item.content));
  }
  while (inside.size() > 1 && is_blank(inside.back())) inside.pop_back();
  return inside;
}

// A short item is its text; one of several blocks has paragraphs.
Html item_html(const Lines& lines, int depth) {
  std::size_t own = 1;
  while (own < lines.size() && !is_blank(lines[own]) && !begins_block(lines, own)) ++own;
  if (begins_block(lines, 0)) own = 0;
  const auto middle = lines.begin() + static_cast<std::ptrdiff_t>(own);
  Html html = render_inline(trim(joined({lines.begin(), middle})));
  return html.add(render_blocks({middle, lines.end()}, depth));
}

bool read_list(Cursor& cursor, Html& html) {
  const auto first = item_of(cursor.line());
  if (!first) return false;
  html.markup(first->ordered ? Markup("<ol>\n") : Markup("<ul>\n"));
  while (!cursor.ended()) {
    const auto item = item_of(cursor.line());
    if (!item || item->ordered != first->ordered || is_rule(cursor.line())) break;
    const Lines inside = take_item(cursor, *item);
    html.markup("<li>").add(item_html(inside, cursor.depth + 1)).markup("</li>\n");
  }
  html.markup(first->ordered ? Markup("</ol>\n") : Markup("</ul>\n"));
  return true;
}

bool read_paragraph(Cursor& cursor, Html& html) {
  Lines inside{dedented(cursor.line(), cursor.line().size())};
  for (++cursor.at; !cursor.ended(); ++cursor.at) {
    if (is_blank(cursor.line()) || begins_block(cursor.lines, cursor.at)) break;
    inside.push_back(dedented(cursor.line(), cursor.line().size()));
  }
  html.markup("<p>").add(render_inline(trim(joined(inside)))).markup("</p>\n");
  return true;
}

constexpr bool (*kBlocks[])(Cursor&, Html&) = {read_fence, read_heading, read_rule,     read_quote,
                                               read_table, read_list,    read_paragraph};

Html render_blocks(const Lines& lines, int depth) {
  Html html;
  if (depth > kMostDepth) return html.element("<p>", joined(lines), "</p>\n");
  Cursor cursor{.lines = lines, .depth = depth};
  while (!cursor.ended()) {
    if (is_blank(cursor.line())) {
      ++cursor.at;
      continue;
    }
    for (const auto read : kBlocks)
      if (read(cursor, html)) break;
  }
  return html;
}

// Hugging Face cards begin with YAML between two lines of "---".
std::size_t front_matter_end(const Lines& lines) {
  if (lines.empty() || lines[0] != "---") return 0;
  const std::size_t last = std::min(lines.size(), kMostFrontMatter);
  for (std::size_t i = 1; i < last; ++i)
    if (lines[i] == "---") return i;
  return 0;
}

using Facts = std::vector<std::pair<std::string, std::string>>;

std::string_view unquoted(std::string_view text) {
  text = trim(text);
  const bool quoted = text.size() >= 2 && text.front() == text.back() &&
                      std::string_view("\"'").contains(text.front());
  return quoted ? text.substr(1, text.size() - 2) : text;
}

// `key: value` and lists of words; what lies deeper is for machines.
Facts read_facts(const Lines& lines, std::size_t end) {
  Facts facts;
  for (std::size_t i = 1; i < end && facts.size() <= kMostFacts; ++i) {
    const std::string_view line = lines[i];
    const std::size_t colon = line.find(':');
    const std::string_view word = trim(line);
    if (word.starts_with("- ") && !word.contains(": ") && !facts.empty()) {
      std::string& value = facts.back().second;
      if (value.size() < kMostFact)
        value.append(value.empty() ? "" : ", ").append(unquoted(word.substr(2)));
    } else if (colon != std::string_view::npos && colon > 0 && indent_of(line) == 0 &&
               !line.starts_with('-') && !line.starts_with('#')) {
      facts.emplace_back(line.substr(0, colon), unquoted(line.substr(colon + 1)));
    }
  }
  std::erase_if(facts, [](const auto& fact) { return fact.second.empty(); });
  return facts;
}

Html front_matter(const Facts& facts) {
  Html html;
  if (facts.empty()) return html;
  html.markup("<details><summary>Card data</summary><div class=\"scroll\"><table><tbody>\n");
  for (const auto& [key, value] : facts) {
    html.element("<tr><th>", printable(key, 100), "</th>")
        .element("<td>", printable(value, kMostFact), "</td></tr>\n");
  }
  return html.markup("</tbody></table></div></details>\n");
}

}  // namespace

Html render_markdown(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  Lines lines = lines_of(text);
  Html html;
  if (const std::size_t end = front_matter_end(lines); end > 0) {
    html = front_matter(read_facts(lines, end));
    lines.erase(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(end + 1));
  }
  return html.add(render_blocks(lines, 0));
}

}  // namespace berth::registryd
