#include "registryd/markdown.h"

#include <chrono>
#include <gtest/gtest.h>

#include "registryd/markdown_check.h"

namespace berth::registryd {
namespace {

std::string html(std::string_view text) {
  std::string rendered = render_markdown(text).string();
  EXPECT_TRUE(is_safe_card(rendered)) << text << "\n" << rendered;
  return rendered;
}
std::string link(std::string_view address, std::string_view text) {
  return "<a href=\"" + std::string(address) + "\" rel=\"nofollow noopener noreferrer\">" +
         std::string(text) + "</a>";
}
std::string paragraph(std::string_view text) { return "<p>" + std::string(text) + "</p>\n"; }

TEST(EscapeTest, NothingOfMarkupIsLeft) {
  EXPECT_EQ(escape("<a href=\"x\" b='y'>&amp;"),
            "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;");
  EXPECT_EQ(escape("größe 模型 \U0001F600"), "größe 模型 \U0001F600");
}

TEST(EscapeTest, BytesThatAreNoTextAreReplaced) {
  const std::string replaced = "\xEF\xBF\xBD";
  using namespace std::literals;
  EXPECT_EQ(escape("a\0b\x1b\x7f"sv), "a" + replaced + "b" + replaced + replaced);
  EXPECT_EQ(escape("\xC3"), replaced);                                // cut off
  EXPECT_EQ(escape("\xC0\xBC"), replaced + replaced);                 // "<" in two bytes
  EXPECT_EQ(escape("\xED\xA0\x80"), replaced + replaced + replaced);  // a surrogate
  EXPECT_EQ(escape("\xF4\x90\x80\x80"), replaced + replaced + replaced + replaced);
  EXPECT_EQ(escape("\xC2\x85"), replaced);                               // C1
  EXPECT_EQ(escape("a\u202Eb\u2066"), "a" + replaced + "b" + replaced);  // turns the text
  EXPECT_EQ(escape("a\tb\n"), "a\tb\n");
}

TEST(MarkdownTest, BlocksOfACard) {
  EXPECT_EQ(html("# One\n## Two ##\n###### Six"), "<h3>One</h3>\n<h4>Two</h4>\n<h6>Six</h6>\n");
  EXPECT_EQ(html("a\nb\r\n\r\nc"), "<p>a\nb</p>\n<p>c</p>\n");
  EXPECT_EQ(html("```python\nif a < b:\n    c\n```\nafter"),
            "<pre><code>if a &lt; b:\n    c</code></pre>\n<p>after</p>\n");
  EXPECT_EQ(html("~~~\n# no heading"), "<pre><code># no heading</code></pre>\n");
  EXPECT_EQ(html("> quoted\n> # head\n\n---"),
            "<blockquote><p>quoted</p>\n<h3>head</h3>\n</blockquote>\n<hr>\n");
  EXPECT_EQ(html("#no heading"), paragraph("#no heading"));
}

TEST(MarkdownTest, Lists) {
  EXPECT_EQ(html("- a\n- b\n  goes on\n\n1. x\n2) y"),
            "<ul>\n<li>a</li>\n<li>b\ngoes on</li>\n</ul>\n<ol>\n<li>x</li>\n<li>y</li>\n</ol>\n");
  EXPECT_EQ(
      html("* a\n  * b\n    - c\n* d"),
      "<ul>\n<li>a<ul>\n<li>b<ul>\n<li>c</li>\n</ul>\n</li>\n</ul>\n</li>\n<li>d</li>\n</ul>\n");
  EXPECT_EQ(html("1. a\n\n   ```\n   code\n   ```"),
            "<ol>\n<li>a<pre><code>code</code></pre>\n</li>\n</ol>\n");
  EXPECT_EQ(html("-"), "<ul>\n<li></li>\n</ul>\n");
}

TEST(MarkdownTest, Tables) {
  EXPECT_EQ(html("| a | b |\n|---|:-:|\n| 1 \\| 2 | **x** |\nend"),
            "<div class=\"scroll\"><table><thead><tr><th>a</th><th>b</th></tr></thead><tbody>\n"
            "<tr><td>1 | 2</td><td><strong>x</strong></td></tr>\n</tbody></table></div>\n"
            "<p>end</p>\n");
}

TEST(MarkdownTest, Marks) {
  EXPECT_EQ(html("*a* **b** ***c*** _d_ __e__ ~~f~~ `g*`"),
            paragraph("<em>a</em> <strong>b</strong> <strong><em>c</em></strong> <em>d</em> "
                      "<strong>e</strong> <del>f</del> <code>g*</code>"));
  EXPECT_EQ(html("snake_case_name 2 * 3 * 4 \\*x\\* **open"),
            paragraph("snake_case_name 2 * 3 * 4 *x* **open"));
  EXPECT_EQ(html("`` a`b `` ``` x"), paragraph("<code>a`b</code> ``` x"));
  EXPECT_EQ(html("a  \nb\\\nc"), paragraph("a  <br>b<br>c"));
}

TEST(MarkdownTest, LinksLeadToTheWebOnly) {
  EXPECT_EQ(html("[a *b*](https://x.example/a_(b) \"title\")"),
            paragraph(link("https://x.example/a_(b)", "a <em>b</em>")));
  EXPECT_EQ(
      html("<https://x.example/?a=1&b=2>."),
      paragraph(link("https://x.example/?a=1&amp;b=2", "https://x.example/?a=1&amp;b=2") + "."));
  EXPECT_EQ(html("see https://x.example/a."),
            paragraph("see " + link("https://x.example/a", "https://x.example/a") + "."));
  EXPECT_EQ(html("![logo](https://x.example/l.png)"),
            paragraph(link("https://x.example/l.png", "logo")));
  EXPECT_EQ(html("[![badge](https://x.example/b.svg)](https://x.example)"),
            paragraph(link("https://x.example", "badge")));
  for (const std::string_view address :
       {"javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "/v2/", "//x.example",
        "https://x.example/\"onclick=", "https://", "ftp://x.example", " java\tscript:x"}) {
    const std::string rendered = html("[a](" + std::string(address) + ")");
    EXPECT_FALSE(rendered.contains("href")) << rendered;
  }
}

TEST(MarkdownTest, RawHtmlIsText) {
  EXPECT_EQ(html("<script>alert(1)</script>"), paragraph("&lt;script&gt;alert(1)&lt;/script&gt;"));
  EXPECT_EQ(html("a <!-- b --> <img src=x onerror=alert(1)>"),
            paragraph("a &lt;!-- b --&gt; &lt;img src=x onerror=alert(1)&gt;"));
  EXPECT_EQ(html("```</code></pre><script>\nx"), "<pre><code>x</code></pre>\n");
}

TEST(MarkdownTest, FrontMatterIsATable) {
  EXPECT_EQ(
      html("---\nlicense: \"apache-2.0\"\ntags:\n- a\n- <b>\nmodel-index:\n- name: x\n  y: "
           "1\n---\n# T"),
      "<details><summary>Card data</summary><div class=\"scroll\"><table><tbody>\n"
      "<tr><th>license</th><td>apache-2.0</td></tr>\n<tr><th>tags</th><td>a, &lt;b&gt;</td></tr>\n"
      "</tbody></table></div></details>\n<h3>T</h3>\n");
  EXPECT_EQ(html("---\nno end"), "<hr>\n<p>no end</p>\n");
}

TEST(MarkdownTest, HostileTextsAreBounded) {
  for (const std::string_view piece :
       {"[",    "*a ", "**a",  "`",    "_a", "> ",    "- ",        "![",
        "[a](", "<",   "* * ", "|",    "\\", "~~",    "(",         "[a](http://b) ",
        "***",  "1. ", "  - ", "``` ", "&#", "---\n", "| a\n|-\n", "- a\n  "}) {
    std::string text;
    while (text.size() < 256 * 1024) text += piece;
    const auto start = std::chrono::steady_clock::now();
    html(text);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10)) << piece;
  }
}

}  // namespace
}  // namespace berth::registryd
