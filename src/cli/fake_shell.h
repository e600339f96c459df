// For tests: a way to run a command line over fake services and look at what came out.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/cli.h"
#include "cli/fake_services.h"
#include "cli/input.h"
#include "cli/output.h"

namespace berth::cli {

// Lines that were "typed"; an interrupt arrives as a line of its own.
class FakeLines : public LineSource {
 public:
  FakeLines(std::deque<Line> lines, std::vector<std::string>& remembered,
            std::vector<std::string>& prompts)
      : lines_(std::move(lines)), remembered_(remembered), prompts_(prompts) {}
  rt::Task<Result<Line>> read(rt::Op& op, std::string prompt) override {
    CO_TRY_OK(op.check());
    prompts_.push_back(std::move(prompt));
    if (lines_.empty()) co_return Line{Line::Kind::kEnd, ""};
    Line line = lines_.front();
    lines_.pop_front();
    co_return line;
  }
  void interrupt() override {}
  void remember(const std::string& entry) override { remembered_.push_back(entry); }

 private:
  std::deque<Line> lines_;
  std::vector<std::string>& remembered_;
  std::vector<std::string>& prompts_;
};

class FakeInput : public Input {
 public:
  bool is_terminal = false;
  bool is_piped = false;
  std::string text;
  std::deque<Line> typed;
  std::vector<std::string> remembered;
  std::vector<std::string> prompts;

  bool terminal() const override { return is_terminal; }
  bool piped() const override { return is_piped; }
  rt::Task<Result<std::string>> read_all(rt::Loop&, rt::Op&, std::size_t limit) override {
    if (text.size() > limit)
      co_return fail(Code::kTooLarge, "standard input is larger than {} bytes", limit);
    co_return text;
  }
  rt::Task<Result<std::optional<std::string>>> read_line(rt::Loop&, rt::Op&) override {
    if (text.empty()) co_return std::nullopt;
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string line = text.substr(0, end);
    text.erase(0, end + 1);
    co_return line;
  }
  rt::Task<Result<Secret>> read_secret(rt::Loop& loop, rt::Op& op) override {
    CO_TRY(auto line, co_await read_line(loop, op));
    co_return Secret(line.value_or(""));
  }
  std::unique_ptr<rt::Reader> reader(rt::Loop&) override {
    return std::make_unique<FakeReader>(text);
  }
  std::unique_ptr<LineSource> lines(rt::Loop&, std::string) override {
    return std::make_unique<FakeLines>(typed, remembered, prompts);
  }
};

// One machine with a fake store, on which command lines are run.
struct FakeShell {
  FakeState state;
  FakeInput input;
  std::map<std::string, std::string> variables;
  std::vector<ServeOptions> served;
  std::vector<Globals> globals;
  bool terminal = false;
  std::string out;
  std::string err;

  int run(std::vector<std::string> words, std::string program = "berth") {
    words.insert(words.begin(), std::move(program));
    StringWriter out_writer(terminal);
    StringWriter err_writer(terminal);
    Output output{out_writer, err_writer};
    Environment environment;
    environment.connect = [this](rt::Loop&,
                                 const Globals& given) -> Result<std::unique_ptr<Backend>> {
      ++state.connected;
      globals.push_back(given);
      return std::make_unique<FakeBackend>(state);
    };
    environment.server = [this](rt::Loop&,
                                const Globals& given) -> Result<std::unique_ptr<Backend>> {
      if (given.host.empty() && !state.daemon) return nullptr;
      return std::make_unique<FakeBackend>(state);
    };
    environment.serve = [this](const ServeOptions& options) -> Status {
      served.push_back(options);
      return {};
    };
    environment.data_dir = [](const Globals&) { return std::string(); };
    environment.variable = [this](const char* name) -> std::optional<std::string> {
      const auto found = variables.find(name);
      if (found == variables.end()) return std::nullopt;
      return found->second;
    };
    environment.now = [] { return kFakeNow; };
    environment.output = &output;
    environment.input = &input;
    const int status = main(words, std::move(environment));
    out = out_writer.text;
    err = err_writer.text;
    return status;
  }
};

}  // namespace berth::cli
