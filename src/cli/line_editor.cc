#include "cli/line_editor.h"

#include <clocale>
#include <cstdio>
#include <functional>
#include <histedit.h>
#include <unistd.h>
#include <vector>

#include "base/log.h"
#include "base/text.h"
#include "fs/file.h"
#include "rt/async.h"

namespace berth::cli {
namespace {

constexpr const char* kHistoryFile = "chat_history";
constexpr std::size_t kMaxEntries = 1000;
constexpr std::size_t kMaxHistory = 4 * 1024 * 1024;

std::vector<std::string> load_history(const std::string& folder) {
  std::vector<std::string> entries;
  const auto dir = fs::Dir::open(folder);
  if (!dir) return entries;
  const auto text = dir->read_small(kHistoryFile, kMaxHistory);
  if (!text) return entries;
  for (const std::string& line : split(*text, '\n')) {
    if (!line.empty()) entries.push_back(unescape_entry(line));
  }
  if (entries.size() > kMaxEntries) entries.erase(entries.begin(), entries.end() - kMaxEntries);
  return entries;
}

// Rewritten whole: it is small, and two chats at once then never leave half a line.
Status save_history(const std::string& folder, const std::vector<std::string>& entries) {
  TRY(const fs::Dir dir, fs::Dir::create(folder));
  std::string text;
  const std::size_t skip = entries.size() > kMaxEntries ? entries.size() - kMaxEntries : 0;
  for (std::size_t i = skip; i < entries.size(); ++i) text += escape_entry(entries[i]) + "\n";
  return dir.replace(kHistoryFile, text, 0600);
}

class LineEditor : public LineSource {
 public:
  LineEditor(rt::Loop& loop, std::string history_dir)
      : loop_(loop), folder_(std::move(history_dir)) {
    if (!folder_.empty()) entries_ = load_history(folder_);
  }
  ~LineEditor() override {
    if (history_ != nullptr) ::history_end(history_);
    if (editor_ != nullptr) ::el_end(editor_);
  }
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  rt::Task<Result<Line>> read(rt::Op& op, std::string prompt) override {
    CO_TRY_OK(op.check());
    const auto stop = op.on_cancel(std::bind_front(&LineEditor::interrupt, this));
    prompt_ = std::move(prompt);
    Line line = co_await rt::blocking(loop_, std::bind_front(&LineEditor::edit, this));
    CO_TRY_OK(op.check());
    co_return line;
  }

  void interrupt() override { waiter_.interrupt(); }

  void remember(const std::string& entry) override {
    if (!entries_.empty() && entries_.back() == entry) return;
    entries_.push_back(entry);
    add(entry);
    if (folder_.empty()) return;
    if (const Status saved = save_history(folder_, entries_); !saved) {
      log::warning("the chat's history is not kept: {}", saved.error().message());
    }
  }

 private:
  static char* prompt_of(EditLine* editor) { return self_of(editor)->prompt_.data(); }
  static LineEditor* self_of(EditLine* editor) {
    void* self = nullptr;
    ::el_get(editor, EL_CLIENTDATA, &self);
    return static_cast<LineEditor*>(self);
  }
  static int next_character(EditLine* editor, wchar_t* into) {
    LineEditor& self = *self_of(editor);
    const long character = read_character(std::bind_front(&LineEditor::next_byte, &self));
    if (character < 0) return self.interrupted_ ? -1 : 0;
    *into = static_cast<wchar_t>(character);
    return 1;
  }

  int next_byte() {
    if (waiter_.wait(STDIN_FILENO) == Waiter::Woke::kInterrupted) {
      interrupted_ = true;
      return -1;
    }
    unsigned char byte = 0;
    return ::read(STDIN_FILENO, &byte, 1) == 1 ? byte : -1;
  }

  void open() {
    if (editor_ != nullptr) return;
    if (std::setlocale(LC_CTYPE, "") == nullptr || MB_CUR_MAX == 1)
      std::setlocale(LC_CTYPE, "C.UTF-8");
    // Everything drawn is for people: standard error.
    editor_ = ::el_init("berth", stdin, stderr, stderr);
    if (editor_ == nullptr) return;
    ::el_set(editor_, EL_CLIENTDATA, this);
    ::el_set(editor_, EL_PROMPT, &LineEditor::prompt_of);
    ::el_set(editor_, EL_EDITOR, "emacs");
    ::el_set(editor_, EL_SIGNAL, 0);  // the loop takes them
    ::el_set(editor_, EL_GETCFN, &LineEditor::next_character);
    history_ = ::history_init();
    HistEvent event{};
    ::history(history_, &event, H_SETSIZE, static_cast<int>(kMaxEntries));
    ::el_set(editor_, EL_HIST, ::history, history_);
    for (const std::string& entry : entries_) add(entry);
    ::el_source(editor_, nullptr);  // the user's ~/.editrc
  }

  void add(const std::string& entry) {
    if (history_ == nullptr) return;
    HistEvent event{};
    ::history(history_, &event, H_ENTER, entry.c_str());
  }

  // On the pool.
  Line edit() {
    open();
    if (editor_ == nullptr) return {Line::Kind::kEnd, ""};
    interrupted_ = false;
    waiter_.clear();
    int count = 0;
    const char* text = ::el_gets(editor_, &count);
    if (interrupted_) {
      waiter_.clear();
      return {Line::Kind::kInterrupted, ""};
    }
    if (text == nullptr || count <= 0) return {Line::Kind::kEnd, ""};
    std::string line(text, static_cast<std::size_t>(count));
    while (line.ends_with('\n') || line.ends_with('\r')) line.pop_back();
    return {Line::Kind::kText, std::move(line)};
  }

  rt::Loop& loop_;
  std::string folder_;
  std::vector<std::string> entries_;
  std::string prompt_;
  EditLine* editor_ = nullptr;
  History* history_ = nullptr;
  Waiter waiter_;
  bool interrupted_ = false;
};

}  // namespace

std::string escape_entry(const std::string& entry) {
  std::string line;
  for (const char c : entry) {
    if (c == '\\') {
      line += "\\\\";
    } else if (c == '\n') {
      line += "\\n";
    } else if (c != '\r' && c != '\0') {
      line.push_back(c);
    }
  }
  return line;
}

std::string unescape_entry(const std::string& line) {
  std::string entry;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\\' && i + 1 < line.size()) {
      ++i;
      entry.push_back(line[i] == 'n' ? '\n' : line[i]);
    } else {
      entry.push_back(line[i]);
    }
  }
  return entry;
}

std::unique_ptr<LineSource> make_line_editor(rt::Loop& loop, std::string history_dir) {
  return std::make_unique<LineEditor>(loop, std::move(history_dir));
}

}  // namespace berth::cli
