#include "cli/prompt.h"

#include <algorithm>

#include "base/text.h"
#include "fs/file.h"

namespace berth::cli {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n'; }

// A path as it stands in a text: quoted, or up to a space that is not escaped.
struct Mention {
  std::size_t length = 0;  // in the text, quotes included
  std::string path;
};

Mention read_mention(std::string_view text) {
  Mention mention;
  if (!text.empty() && (text[0] == '"' || text[0] == '\'')) {
    const std::size_t end = text.find(text[0], 1);
    if (end == std::string_view::npos) return mention;
    return {end + 1, std::string(text.substr(1, end - 1))};
  }
  while (mention.length < text.size() && !is_space(text[mention.length]) &&
         text[mention.length] != '"' && text[mention.length] != '\'') {
    if (text[mention.length] == '\\' && mention.length + 1 < text.size()) ++mention.length;
    mention.path.push_back(text[mention.length++]);
  }
  return mention;
}

bool has_image_name(const std::string& path) {
  const std::string lower = to_lower(path);
  return lower.ends_with(".jpg") || lower.ends_with(".jpeg") || lower.ends_with(".png") ||
         lower.ends_with(".webp");
}

bool looks_like_path(std::string_view path) {
  return path.starts_with('/') || path.starts_with("./") || path.starts_with("../");
}

// By content: what a name says does not count.
std::string_view image_type(std::string_view bytes) {
  if (bytes.starts_with("\xff\xd8\xff")) return "image/jpeg";
  if (bytes.starts_with("\x89PNG\r\n\x1a\n")) return "image/png";
  if (bytes.size() >= 12 && bytes.starts_with("RIFF") && bytes.substr(8, 4) == "WEBP")
    return "image/webp";
  return "";
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  TRY(const fs::File file, fs::open_user_file(path));
  TRY(const fs::FileInfo info, file.info());
  if (info.size > limit) {
    return fail(Code::kTooLarge, "{} is too large to put into a prompt: {} of at most {}",
                printable(path), format_size(info.size), format_size(limit));
  }
  std::string content(info.size, '\0');
  TRY(const std::size_t n,
      file.read_at(0, std::as_writable_bytes(std::span(content.data(), content.size()))));
  content.resize(n);
  return content;
}

// Whether there is something to read under that name.
bool is_file(const std::string& path) {
  return !path.empty() && fs::open_user_file(path).has_value();
}

Status include_image(const std::string& path, Prompt& prompt) {
  TRY(const std::string content, read_file(path, kMaxImage));
  const std::string_view type = image_type(content);
  if (type.empty())
    return fail(Code::kInvalid, "{} is no JPEG, PNG or WebP picture", printable(path));
  prompt.images.push_back(fmt::format("data:{};base64,{}", type, base64_encode(as_bytes(content))));
  return {};
}

Status include_file(const std::string& path, Prompt& prompt) {
  if (has_image_name(path)) return include_image(path, prompt);
  TRY(const std::string content, read_file(path, kMaxIncluded));
  if (content.find('\0') != std::string::npos) {
    return fail(Code::kInvalid, "{} is not a text file, so it cannot be put into a prompt",
                printable(path));
  }
  prompt.text += content;
  return {};
}

}  // namespace

Result<Prompt> read_prompt(const std::string& typed) {
  Prompt prompt;
  const std::string_view text = typed;
  for (std::size_t i = 0; i < text.size();) {
    const bool word_start = i == 0 || is_space(text[i - 1]);
    const bool at = text[i] == '@';
    const Mention mention = word_start ? read_mention(text.substr(i + (at ? 1 : 0))) : Mention{};
    const bool picture = !at && has_image_name(mention.path) &&
                         (looks_like_path(mention.path) || text[i] == '"' || text[i] == '\'');
    if ((at || picture) && is_file(mention.path)) {
      TRY_OK(picture ? include_image(mention.path, prompt) : include_file(mention.path, prompt));
      i += mention.length + (at ? 1 : 0);
    } else {
      prompt.text.push_back(text[i++]);
    }
  }
  if (!prompt.images.empty()) prompt.text = std::string(trim(prompt.text));
  return prompt;
}

json::Object user_message(const Prompt& prompt) {
  if (prompt.images.empty()) return {{"role", "user"}, {"content", prompt.text}};
  json::Array parts;
  for (const std::string& image : prompt.images) {
    parts.push_back(
        json::Object{{"type", "image_url"}, {"image_url", json::Object{{"url", image}}}});
  }
  if (!prompt.text.empty()) parts.push_back(json::Object{{"type", "text"}, {"text", prompt.text}});
  return {{"role", "user"}, {"content", std::move(parts)}};
}

}  // namespace berth::cli
