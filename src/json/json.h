// Bounded, strict JSON: size and depth limits, duplicate keys and invalid UTF-8 refused; views that
// name the path of a fault.
//
// Pure and thread-safe. Failure: kInvalid (malformed), kTooLarge (over a limit). Source: RFC 8259,
// I-JSON (RFC 7493).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/value.hpp>

#include "base/error.h"

namespace berth::json {

using Value = boost::json::value;
using Object = boost::json::object;
using Array = boost::json::array;

struct Limits {
  std::size_t bytes = 4 * 1024 * 1024;
  std::size_t depth = 64;
};

// `what` names the document in the message ("manifest of ai/x").
Result<Value> parse(std::string_view text, std::string_view what, Limits limits = {});

std::string serialize(const Value& value);  // compact, keys in the order they were added
std::string pretty(const Value& value);     // two spaces, final newline

// A read-only place in a document. Holds a pointer into the Value, which must outlive it.
//
//   View manifest(value, "manifest");
//   TRY(const std::string type, manifest.string("mediaType"));   // "manifest.mediaType: expected a
//   string"
class View {
 public:
  View(const Value& value, std::string path) : value_(&value), path_(std::move(path)) {}

  const Value& value() const { return *value_; }
  const std::string& path() const { return path_; }

  // This place itself.
  Result<std::string> string() const;
  Result<std::uint64_t> u64() const;
  Result<std::int64_t> i64() const;
  Result<double> number() const;
  Result<bool> boolean() const;
  Result<std::vector<View>> array() const;
  Result<std::vector<std::pair<std::string, View>>> object() const;

  // A member of an object: at() fails with kInvalid when absent; find() is nullopt when absent or
  // null.
  Result<View> at(std::string_view key) const;
  std::optional<View> find(std::string_view key) const;

  // Members by type; the *_or forms take the default when absent or null, and still fail on a wrong
  // type.
  Result<std::string> string(std::string_view key) const;
  Result<std::uint64_t> u64(std::string_view key) const;
  Result<std::string> string_or(std::string_view key, std::string_view otherwise) const;
  Result<std::uint64_t> u64_or(std::string_view key, std::uint64_t otherwise) const;
  Result<std::int64_t> i64_or(std::string_view key, std::int64_t otherwise) const;
  Result<double> number_or(std::string_view key, double otherwise) const;
  Result<bool> boolean_or(std::string_view key, bool otherwise) const;
  Result<std::vector<View>> array_or_empty(std::string_view key) const;
  Result<std::vector<std::string>> strings_or_empty(std::string_view key) const;

 private:
  std::unexpected<Error> expected(std::string_view what) const;
  const Value* value_;
  std::string path_;
};

}  // namespace berth::json
