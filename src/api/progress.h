// A pull or push that runs while its progress goes to the caller, as Docker Model Runner's lines of
// JSON. Private to api.
//
// Loop thread. The run is a child of the Api's own Scope and Op: it outlives the response by the
// moment that it needs to stop after the caller has gone. Lines for a slow caller are dropped,
// never the last one.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "api/route.h"
#include "rt/async.h"

namespace berth::api {

enum class Escape { kNone, kHtml };

// Go's html.EscapeString: what Docker's client undoes on every line.
std::string escape_html(std::string_view text);

class ProgressRun : public control::Events {
 public:
  // `mode` is "pull" or "push".
  ProgressRun(rt::Loop& loop, rt::Op& parent, std::string mode, Escape escape);

  rt::Op& op() { return op_; }
  void on(const control::Event& event) override;
  // The end: a success line with more members for who understands them, or the failure.
  void succeed(std::string message, json::Object result);
  void fail_with(Error error);

  // Waits for the first line or the end. A failure that came before any line is returned: it still
  // has a status of its own.
  rt::Task<Status> begun(rt::Op& op);
  // The lines, until the end. Destroying it cancels the run.
  static std::unique_ptr<rt::Reader> lines(std::shared_ptr<ProgressRun> run);

 private:
  class Lines;
  void layer(const control::Event& event, bool done);
  void put(const json::Object& line);

  rt::Op op_;
  rt::Event news_;
  std::string mode_;
  Escape escape_;
  std::string pending_;
  bool any_line_ = false;
  bool ended_ = false;
  std::optional<Error> failure_;
  std::uint64_t total_ = 0;
  std::map<std::string, std::chrono::steady_clock::time_point> last_;
};

}  // namespace berth::api
