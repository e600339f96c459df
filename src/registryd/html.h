// Pages are made of Html: markup that stands in the source, and text from outside that went through
// escape(). Nothing else can get in.
//
// Values; thread-safe. Source: HTML Living Standard 13.1.2 (text and double-quoted attributes).
#pragma once

#include <string>
#include <string_view>

namespace berth::registryd {

// Any bytes as HTML text or the inside of a double-quoted attribute: & < > " ' escaped; what is no
// UTF-8, control characters (not \t, \n) and those that turn the direction of text become U+FFFD.
std::string escape(std::string_view text);

// Markup as it stands in the source: a constant, never a value.
struct Markup {
  consteval Markup(const char* constant) : text(constant) {}  // NOLINT(google-explicit-constructor)
  std::string_view text;
};

class Html {
 public:
  Html() = default;
  explicit Html(Markup constant) : text_(constant.text) {}

  Html& markup(Markup constant) {
    text_ += constant.text;
    return *this;
  }
  Html& text(std::string_view outside) {
    text_ += escape(outside);
    return *this;
  }
  Html& add(const Html& part) {
    text_ += part.text_;
    return *this;
  }
  // <open>text<close>
  Html& element(Markup open, std::string_view outside, Markup close) {
    return markup(open).text(outside).markup(close);
  }
  // A link to a place of this site: `path` begins with "/".
  Html& link(std::string_view path, std::string_view outside) {
    return markup("<a href=\"").text(path).markup("\">").text(outside).markup("</a>");
  }

  bool empty() const { return text_.empty(); }
  const std::string& string() const { return text_; }

 private:
  std::string text_;
};

}  // namespace berth::registryd
