#include "cli/chat.h"

#include <array>

#include "base/text.h"
#include "cli/answer.h"
#include "cli/prompt.h"
#include "cli/table.h"
#include "fs/file.h"
#include "rt/async.h"

namespace berth::cli {
namespace {

constexpr std::size_t kMaxMessage = 8 * 1024 * 1024;

std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  for (const std::string& word : split(line, ' ')) {
    if (!trim(word).empty()) words.emplace_back(trim(word));
  }
  return words;
}

// State of one chat and what its commands do with it.
struct Chat {
  Context& context;
  ChatSetup setup;
  Conversation conversation;
  bool leave = false;
};

void show_help(Chat& chat, const std::vector<std::string>& words) {
  Output& output = chat.context.output;
  const std::string topic = words.size() > 1 ? words[1] : "";
  if (topic == "set") {
    output.alert("/set system TEXT             System message; without TEXT there is none");
    output.alert("/set num_ctx N               Context size in tokens");
    output.alert("/set temp X                  Temperature");
    output.alert("/set top_p X                 Nucleus sampling");
    output.alert("/set max_tokens N            Longest answer");
    output.alert("/set seed N                  Seed of the sampling");
    output.alert("/set parameter NAME VALUE    The same, as Docker Model Runner spells it");
  } else if (topic == "shortcut" || topic == "shortcuts") {
    output.alert("Ctrl + a, Ctrl + e     Start, end of the line");
    output.alert("Alt + b, Alt + f       A word back, forward");
    output.alert("Ctrl + k, Ctrl + u     Delete to the end, the line");
    output.alert("Ctrl + w               Delete the word before the cursor");
    output.alert("Ctrl + l               Clear the screen");
    output.alert("Ctrl + c               Stop the answer");
    output.alert("Ctrl + d               Leave");
  } else if (topic == "file" || topic == "files") {
    output.alert(
        "@FILE puts the text of a file into the message: @README.md, @./src/main.go, @\"name with "
        "spaces.txt\"");
    output.alert("The path of a picture (jpg, png, webp) shows it to the model: ./photo.jpg");
  } else {
    output.alert("/set         Set a parameter or the system message (/? set)");
    output.alert("/show        Show model, parameters and system message");
    output.alert("/clear       Forget the conversation");
    output.alert("/save FILE   Write the conversation as JSON");
    output.alert("/?, /help    This; also: /? set, /? shortcuts, /? files");
    output.alert("/bye, /exit  Leave (or Ctrl + d)");
    output.alert("\"\"\" begins and ends a message of several lines.");
  }
}

template <class T>
void show_value(Output& output, std::string_view name, const std::optional<T>& value) {
  if (value) output.alert("{:<12}{}", name, *value);
}

void show_setup(Chat& chat, const std::vector<std::string>&) {
  Output& output = chat.context.output;
  const control::ChatOptions& options = chat.setup.options;
  output.alert("{:<12}{}", "model", printable(chat.setup.model));
  output.alert("{:<12}{}", "system",
               chat.setup.system.empty() ? "(none)" : printable(chat.setup.system, 2048));
  show_value(output, "num_ctx", options.context_size);
  show_value(output, "temp", options.temperature);
  show_value(output, "top_p", options.top_p);
  show_value(output, "max_tokens", options.max_tokens);
  show_value(output, "seed", options.seed);
  output.alert("{:<12}{}", "messages", chat.conversation.messages().size());
}

void set(Chat& chat, const std::vector<std::string>& words) {
  const auto done = set_option(chat.setup, words);
  chat.context.output.alert("{}", done ? *done : done.error().message());
}

void clear(Chat& chat, const std::vector<std::string>&) {
  chat.conversation.clear();
  chat.context.output.alert("Forgot the conversation.");
}

void leave(Chat& chat, const std::vector<std::string>&) { chat.leave = true; }

// New files only: a slip of the tongue must not cost somebody a file.
Status save_to(const std::string& path, const std::string& text) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "."
                             : slash == 0               ? "/"
                                                        : path.substr(0, slash);
  TRY(const fs::Dir dir, fs::open_user_dir(folder));
  TRY(fs::File file, dir.create_new(path.substr(slash + 1), 0600));
  return file.write_at(0, as_bytes(text));
}

void save(Chat& chat, const std::vector<std::string>& words) {
  if (words.size() != 2) {
    chat.context.output.alert("usage: /save FILE");
    return;
  }
  const json::Object saved{{"model", chat.setup.model},
                           {"system", chat.setup.system},
                           {"messages", chat.conversation.messages()}};
  const Status done = save_to(words[1], json::pretty(saved));
  chat.context.output.alert(
      "{}", done ? "Saved to " + printable(words[1]) : printable(done.error().message(), 1024));
}

struct SlashCommand {
  std::string_view name;
  void (*run)(Chat&, const std::vector<std::string>& words);
};
constexpr std::array<SlashCommand, 8> kCommands = {{{"/help", show_help},
                                                    {"/?", show_help},
                                                    {"/set", set},
                                                    {"/show", show_setup},
                                                    {"/clear", clear},
                                                    {"/save", save},
                                                    {"/bye", leave},
                                                    {"/exit", leave}}};

void run_slash(Chat& chat, const std::string& line) {
  const std::vector<std::string> words = words_of(line);
  for (const SlashCommand& command : kCommands) {
    if (command.name == words[0]) return command.run(chat, words);
  }
  chat.context.output.alert("Unknown command '{}'. Type /? for help", printable(words[0], 64));
}

// "/home/me/cat.png what is this?" is a message.
bool is_slash_command(const std::string& line) {
  if (!line.starts_with('/')) return false;
  const std::string word = line.substr(0, line.find(' '));
  return word.find('/', 1) == std::string::npos && word.find('.') == std::string::npos;
}

rt::Task<Status> answer_message(Chat& chat, std::string typed) {
  Context& context = chat.context;
  CO_TRY(const Prompt prompt,
         co_await rt::blocking(context.loop, [&typed] { return read_prompt(typed); }));
  const json::Object message = user_message(prompt);
  control::ChatRequest request{.model = chat.setup.model,
                               .messages = chat.conversation.request(chat.setup.system, message),
                               .options = chat.setup.options,
                               .no_sandbox = chat.setup.no_sandbox};
  rt::Op answering(context.op);
  context.interrupts.take([&answering] { answering.cancel(); });
  auto answered = co_await ask(context, answering, std::move(request));
  context.interrupts.clear();
  CO_TRY(const Answer answer, std::move(answered));
  chat.conversation.add(message, answer.text);
  if (chat.setup.verbose) print_stats(context.output, answer.stats);
  co_return Status();
}

// An answer that fails is told and the chat goes on; a cancelled program leaves.
rt::Task<Status> take_message(Chat& chat, std::string typed) {
  const Status answered = co_await answer_message(chat, std::move(typed));
  CO_TRY_OK(chat.context.op.check());
  CO_TRY_OK(chat.context.output.out.status());
  if (!answered && answered.error().code() == Code::kCancelled) {
    chat.context.output.alert("(stopped; the message and what came of the answer are forgotten)");
  } else if (!answered) {
    chat.context.output.alert("berth: {}", printable(answered.error().message(), 4096));
  }
  co_return Status();
}

rt::Task<Result<Line>> read_line(Chat& chat, LineSource& lines, bool more) {
  // At the prompt Ctrl-C ends the line, not the program.
  chat.context.interrupts.take([&lines] { lines.interrupt(); });
  auto line = co_await lines.read(chat.context.op, more ? ". " : "> ");
  chat.context.interrupts.clear();
  co_return line;
}

}  // namespace

void Conversation::add(json::Object user, const std::string& assistant) {
  messages_.push_back(std::move(user));
  messages_.push_back(json::Object{{"role", "assistant"}, {"content", assistant}});
}

json::Array Conversation::request(const std::string& system, json::Object next) const {
  json::Array all;
  if (!system.empty()) all.push_back(json::Object{{"role", "system"}, {"content", system}});
  all.insert(all.end(), messages_.begin(), messages_.end());
  all.push_back(std::move(next));
  return all;
}

std::optional<std::string> MessageReader::take(const std::string& line) {
  std::string_view rest = line;
  if (!open_) {
    if (!rest.starts_with("\"\"\"")) return line;
    rest.remove_prefix(3);
    open_ = true;
    text_.clear();
  }
  const bool closes = rest.ends_with("\"\"\"");
  if (closes) rest.remove_suffix(3);
  text_.append(rest);
  if (closes || text_.size() > kMaxMessage) {
    open_ = false;
    return std::exchange(text_, {});
  }
  text_.push_back('\n');
  return std::nullopt;
}

void MessageReader::reset() {
  open_ = false;
  text_.clear();
}

rt::Task<Result<int>> chat(Context& context, ChatSetup setup, LineSource& lines) {
  Chat chat{context, std::move(setup)};
  MessageReader reader;
  while (!chat.leave) {
    CO_TRY(const Line line, co_await read_line(chat, lines, reader.open()));
    if (line.kind == Line::Kind::kEnd) {
      context.output.alert("");
      break;
    }
    if (line.kind == Line::Kind::kInterrupted) {
      reader.reset();
      context.output.alert("\nUse Ctrl + d or /bye to exit.");
      continue;
    }
    if (!reader.open() && is_slash_command(line.text)) {
      lines.remember(line.text);
      run_slash(chat, line.text);
      continue;
    }
    const auto message = reader.take(line.text);
    if (!message || trim(*message).empty()) continue;
    lines.remember(*message);
    CO_TRY_OK(co_await take_message(chat, *message));
  }
  co_return 0;
}

}  // namespace berth::cli
