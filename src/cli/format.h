// What listing and inspecting commands share: --format, --json, and printing JSON.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "json/json.h"

namespace berth::cli {

struct Format {
  std::string word;  // "" = the command's default
  bool json = false;
  bool is_json(bool otherwise = false) const {
    return json || (word.empty() ? otherwise : word == "json");
  }
};
// --format and --json, to be put after `flags`.
std::vector<Flag> with_format(Format& format, std::vector<Flag> flags = {});

void print_json(Output& output, const json::Value& value);
// An array of what to_json makes of each item.
template <class Items, class ToJson>
json::Array json_array(const Items& items, ToJson to_json) {
  json::Array array;
  for (const auto& item : items) array.push_back(to_json(item));
  return array;
}

// What helps when a model is not found: pulling it, looking at what is here, or nothing (it was
// being pulled).
enum class WhenAbsent { kPull, kList, kNothing };
// The error with a hint to pull, list or log in, unless the sentence says so already.
Error with_hints(Context& context, Error error, const std::string& model,
                 WhenAbsent absent = WhenAbsent::kPull);
template <class T>
Result<T> hinted(Context& context, Result<T> result, const std::string& model,
                 WhenAbsent absent = WhenAbsent::kPull) {
  if (!result)
    return std::unexpected(with_hints(context, std::move(result.error()), model, absent));
  return result;
}

// Asks until "y" or "n"; kInvalid when nobody can be asked.
rt::Task<Result<bool>> confirm(Context& context, std::string question, std::string flag);

// Where a server listens, for people: the way this command took first.
std::string listening_text(const control::StatusReport& report);

// Copies a stream to standard output; ends early when its reader went away.
rt::Task<Status> copy_to_output(Context& context, rt::Reader& reader, bool filter);

}  // namespace berth::cli
