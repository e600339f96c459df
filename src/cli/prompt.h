// What a user typed, with the files it names: @FILE becomes the file's text, paths of images become
// pictures.
//
// read_prompt blocks (run it on the pool). Only what the user typed is looked at, never the text of
// a file or of standard input, so that content cannot ask for more files. A file that is not there
// leaves the words as they are. Failure: kTooLarge, kInvalid (no text, no picture), kIo.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "json/json.h"

namespace berth::cli {

inline constexpr std::size_t kMaxIncluded = 4 * 1024 * 1024;  // of one text file
inline constexpr std::size_t kMaxImage = 100 * 1024 * 1024;   // DMR's bound

struct Prompt {
  std::string text;
  std::vector<std::string> images;  // data URLs
};
Result<Prompt> read_prompt(const std::string& typed);

// OpenAI's message object of a user.
json::Object user_message(const Prompt& prompt);

}  // namespace berth::cli
