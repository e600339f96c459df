#include "json/json.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_stack.hpp>

#include "base/text.h"

namespace berth::json {
namespace {

namespace bj = boost::json;

// Builds a value from parser events, refusing duplicate keys.
struct Handler {
  static constexpr std::size_t max_object_size = std::size_t(-1);
  static constexpr std::size_t max_array_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = std::size_t(-1);
  static constexpr std::size_t max_string_size = std::size_t(-1);

  bj::value_stack stack;
  std::vector<std::set<std::string, std::less<>>> keys;
  std::string key;
  std::string duplicate;

  bool on_document_begin(bj::error_code&) { return true; }
  bool on_document_end(bj::error_code&) { return true; }
  bool on_object_begin(bj::error_code&) {
    keys.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t n, bj::error_code&) {
    keys.pop_back();
    stack.push_object(n);
    return true;
  }
  bool on_array_begin(bj::error_code&) { return true; }
  bool on_array_end(std::size_t n, bj::error_code&) {
    stack.push_array(n);
    return true;
  }
  bool on_key_part(bj::string_view part, std::size_t, bj::error_code&) {
    key.append(part.data(), part.size());
    stack.push_chars(part);
    return true;
  }
  bool on_key(bj::string_view part, std::size_t, bj::error_code& error) {
    key.append(part.data(), part.size());
    stack.push_key(part);
    if (!keys.back().insert(key).second) {
      duplicate = key;
      error = bj::make_error_code(bj::error::exception);
      return false;
    }
    key.clear();
    return true;
  }
  bool on_string_part(bj::string_view part, std::size_t, bj::error_code&) {
    stack.push_chars(part);
    return true;
  }
  bool on_string(bj::string_view part, std::size_t, bj::error_code&) {
    stack.push_string(part);
    return true;
  }
  bool on_number_part(bj::string_view, bj::error_code&) { return true; }
  bool on_int64(std::int64_t value, bj::string_view, bj::error_code&) {
    stack.push_int64(value);
    return true;
  }
  bool on_uint64(std::uint64_t value, bj::string_view, bj::error_code&) {
    stack.push_uint64(value);
    return true;
  }
  bool on_double(double value, bj::string_view, bj::error_code& error) {
    if (!std::isfinite(value)) {
      error = bj::make_error_code(bj::error::exponent_overflow);
      return false;
    }
    stack.push_double(value);
    return true;
  }
  bool on_bool(bool value, bj::error_code&) {
    stack.push_bool(value);
    return true;
  }
  bool on_null(bj::error_code&) {
    stack.push_null();
    return true;
  }
  bool on_comment_part(bj::string_view, bj::error_code&) { return true; }
  bool on_comment(bj::string_view, bj::error_code&) { return true; }
};

// Numbers as people write them (0.7), which Boost does not (7E-1). JSON has no infinity.
std::string scalar(const Value& value) {
  const double* number = value.if_double();
  if (!number) return bj::serialize(value);
  return std::isfinite(*number) ? fmt::format("{}", *number) : "null";
}

void write_pretty(std::string& out, const Value& value, std::size_t indent) {
  const auto line = [&](std::size_t depth) { out.append("\n").append(depth * 2, ' '); };
  if (const Object* object = value.if_object(); object && !object->empty()) {
    out.push_back('{');
    bool first = true;
    for (const auto& [key, member] : *object) {
      if (!std::exchange(first, false)) out.push_back(',');
      line(indent + 1);
      out += bj::serialize(bj::string(key)) + ": ";
      write_pretty(out, member, indent + 1);
    }
    line(indent);
    out.push_back('}');
  } else if (const Array* array = value.if_array(); array && !array->empty()) {
    out.push_back('[');
    bool first = true;
    for (const Value& item : *array) {
      if (!std::exchange(first, false)) out.push_back(',');
      line(indent + 1);
      write_pretty(out, item, indent + 1);
    }
    line(indent);
    out.push_back(']');
  } else {
    out += scalar(value);
  }
}

bool holds_double(const Value& value) {
  if (value.is_double()) return true;
  if (const Object* object = value.if_object())
    return std::ranges::any_of(*object, [](const auto& m) { return holds_double(m.value()); });
  if (const Array* array = value.if_array()) return std::ranges::any_of(*array, holds_double);
  return false;
}

void write_compact(std::string& out, const Value& value) {
  if (!holds_double(value)) {
    out += bj::serialize(value);
  } else if (const Object* object = value.if_object()) {
    out.push_back('{');
    bool first = true;
    for (const auto& [key, member] : *object) {
      if (!std::exchange(first, false)) out.push_back(',');
      out += bj::serialize(bj::string(key)) + ":";
      write_compact(out, member);
    }
    out.push_back('}');
  } else if (const Array* array = value.if_array()) {
    out.push_back('[');
    bool first = true;
    for (const Value& item : *array) {
      if (!std::exchange(first, false)) out.push_back(',');
      write_compact(out, item);
    }
    out.push_back(']');
  } else {
    out += scalar(value);
  }
}

}  // namespace

Result<Value> parse(std::string_view text, std::string_view what, Limits limits) {
  if (text.size() > limits.bytes) {
    return fail(Code::kTooLarge, "{} has {} bytes of JSON, more than the {} allowed", what,
                text.size(), limits.bytes);
  }
  bj::parse_options options;
  options.max_depth = limits.depth;
  bj::basic_parser<Handler> parser(options);
  bj::error_code error;
  const std::size_t used = parser.write_some(false, text.data(), text.size(), error);
  if (!parser.handler().duplicate.empty()) {
    return fail(Code::kInvalid, "{} is not valid JSON: the key \"{}\" stands twice", what,
                printable(parser.handler().duplicate, 64));
  }
  if (!error && used < text.size()) error = bj::error::extra_data;
  if (!error && !parser.done()) error = bj::error::incomplete;
  if (error == bj::error::too_deep) {
    return fail(Code::kTooLarge, "{} nests deeper than {} levels", what, limits.depth);
  }
  if (error)
    return fail(Code::kInvalid, "{} is not valid JSON: {} at byte {}", what, error.message(), used);
  return parser.handler().stack.release();
}

std::string serialize(const Value& value) {
  std::string out;
  write_compact(out, value);
  return out;
}

std::string pretty(const Value& value) {
  std::string out;
  write_pretty(out, value, 0);
  out.push_back('\n');
  return out;
}

std::unexpected<Error> View::expected(std::string_view what) const {
  return fail(Code::kInvalid, "{}: expected {}", path_, what);
}

Result<std::string> View::string() const {
  const bj::string* text = value_->if_string();
  if (!text) return expected("a string");
  return std::string(text->data(), text->size());
}

Result<std::uint64_t> View::u64() const {
  if (const std::uint64_t* number = value_->if_uint64()) return *number;
  if (const std::int64_t* number = value_->if_int64(); number && *number >= 0) {
    return static_cast<std::uint64_t>(*number);
  }
  return expected("a non-negative whole number");
}

Result<std::int64_t> View::i64() const {
  if (const std::int64_t* number = value_->if_int64()) return *number;
  return expected("a whole number");
}

Result<double> View::number() const {
  if (const double* number = value_->if_double()) return *number;
  if (const std::int64_t* number = value_->if_int64()) return static_cast<double>(*number);
  if (const std::uint64_t* number = value_->if_uint64()) return static_cast<double>(*number);
  return expected("a number");
}

Result<bool> View::boolean() const {
  if (const bool* truth = value_->if_bool()) return *truth;
  return expected("true or false");
}

Result<std::vector<View>> View::array() const {
  const Array* items = value_->if_array();
  if (!items) return expected("an array");
  std::vector<View> views;
  views.reserve(items->size());
  for (std::size_t i = 0; i < items->size(); ++i) {
    views.emplace_back((*items)[i], fmt::format("{}[{}]", path_, i));
  }
  return views;
}

Result<std::vector<std::pair<std::string, View>>> View::object() const {
  const Object* members = value_->if_object();
  if (!members) return expected("an object");
  std::vector<std::pair<std::string, View>> views;
  views.reserve(members->size());
  for (const auto& [key, member] : *members) {
    std::string name(key.data(), key.size());
    std::string path = path_ + "." + printable(name, 64);
    views.emplace_back(std::move(name), View(member, std::move(path)));
  }
  return views;
}

std::optional<View> View::find(std::string_view key) const {
  const Object* members = value_->if_object();
  if (!members) return std::nullopt;
  const Value* member = members->if_contains(bj::string_view(key.data(), key.size()));
  if (!member || member->is_null()) return std::nullopt;
  return View(*member, path_ + "." + std::string(key));
}

Result<View> View::at(std::string_view key) const {
  if (!value_->is_object()) return expected("an object");
  if (auto member = find(key)) return *member;
  return fail(Code::kInvalid, "{}.{} is missing", path_, key);
}

Result<std::string> View::string(std::string_view key) const {
  TRY(const View member, at(key));
  return member.string();
}

Result<std::uint64_t> View::u64(std::string_view key) const {
  TRY(const View member, at(key));
  return member.u64();
}

Result<std::string> View::string_or(std::string_view key, std::string_view otherwise) const {
  const auto member = find(key);
  return member ? member->string() : std::string(otherwise);
}

Result<std::uint64_t> View::u64_or(std::string_view key, std::uint64_t otherwise) const {
  const auto member = find(key);
  return member ? member->u64() : otherwise;
}

Result<std::int64_t> View::i64_or(std::string_view key, std::int64_t otherwise) const {
  const auto member = find(key);
  return member ? member->i64() : otherwise;
}

Result<double> View::number_or(std::string_view key, double otherwise) const {
  const auto member = find(key);
  return member ? member->number() : otherwise;
}

Result<bool> View::boolean_or(std::string_view key, bool otherwise) const {
  const auto member = find(key);
  return member ? member->boolean() : otherwise;
}

Result<std::vector<View>> View::array_or_empty(std::string_view key) const {
  const auto member = find(key);
  return member ? member->array() : std::vector<View>();
}

Result<std::vector<std::string>> View::strings_or_empty(std::string_view key) const {
  TRY(const std::vector<View> items, array_or_empty(key));
  std::vector<std::string> texts;
  for (const View& item : items) {
    TRY(std::string text, item.string());
    texts.push_back(std::move(text));
  }
  return texts;
}

}  // namespace berth::json
