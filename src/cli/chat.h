// The interactive chat: a line at a time, a conversation that grows, commands that begin with a
// slash.
//
// Ctrl-C stops an answer and never the program; Ctrl-D or /bye leaves. Loop thread.
#pragma once

#include <string>

#include "cli/command.h"

namespace berth::cli {

struct ChatSetup {
  std::string model;
  std::string system;
  control::ChatOptions options;
  bool verbose = false;
  bool no_sandbox = false;
};

// What has been said.
class Conversation {
 public:
  void add(json::Object user, const std::string& assistant);
  void clear() { messages_.clear(); }
  // With the system message first and `next` last.
  json::Array request(const std::string& system, json::Object next) const;
  const json::Array& messages() const { return messages_; }

 private:
  json::Array messages_;
};

// Puts lines together to messages: """ opens and closes one of several lines.
class MessageReader {
 public:
  // A whole message, or nullopt while more must come.
  std::optional<std::string> take(const std::string& line);
  bool open() const { return open_; }
  void reset();

 private:
  std::string text_;
  bool open_ = false;
};

// Changes `setup` as "/set …" says and answers with a sentence; kInvalid with the usage.
Result<std::string> set_option(ChatSetup& setup, const std::vector<std::string>& words);

rt::Task<Result<int>> chat(Context& context, ChatSetup setup, LineSource& lines);

}  // namespace berth::cli
