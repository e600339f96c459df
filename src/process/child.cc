#include "process/child.h"

#include <cstring>
#include <signal.h>
#include <utility>

#include "base/text.h"
#include "process/core.h"

namespace berth::process {

std::string ExitStatus::to_string() const {
  if (signal == 0) return fmt::format("exit status {}", code);
  return fmt::format("signal {} ({})", signal, ::strsignal(signal));
}

struct Child::Core {
  explicit Core(LineSplitter::OnLine on_line) : lines(std::move(on_line)) {}
  ~Core() {
    if (watch) watch->abandon();
  }

  void take(std::string_view bytes) {
    tail.append(bytes);
    lines.feed(bytes);
  }

  Tail tail;
  LineSplitter lines;
  std::shared_ptr<Watch> watch;
};

Result<Child> Child::start(rt::Loop& loop, const Command& command, LineSplitter::OnLine on_line) {
  TRY(Spawned spawned, spawn(command, Outputs::kMerged));
  auto core = std::make_shared<Core>(std::move(on_line));
  // Not owning: the watch outlives the core and forgets its sinks when the core goes.
  Core* const raw = core.get();
  core->watch = std::make_shared<Watch>(
      loop, std::move(spawned),
      std::vector<Watch::Sink>{[raw](std::string_view bytes) { raw->take(bytes); }}, command.input);
  core->watch->begin();
  return Child(std::move(core));
}

Child::Child(Child&&) noexcept = default;
Child& Child::operator=(Child&&) noexcept = default;
Child::~Child() = default;

pid_t Child::pid() const { return core_->watch->pid(); }
const Tail& Child::output() const { return core_->tail; }
std::optional<ExitStatus> Child::exit_status() const { return core_->watch->ended(); }
void Child::signal(int number) { core_->watch->signal(number); }

rt::Task<Result<ExitStatus>> Child::wait(rt::Op& op) { return core_->watch->wait(op); }

rt::Task<ExitStatus> Child::terminate(std::chrono::milliseconds grace) {
  const auto watch = core_->watch;
  watch->signal(SIGTERM);
  rt::Op forever;
  rt::Op patience(forever, std::chrono::steady_clock::now() + grace);
  if (const auto ended = co_await watch->wait(patience)) co_return *ended;
  watch->signal(SIGKILL);
  co_return (co_await watch->wait(forever)).value();
}

namespace {

struct Collected {
  explicit Collected(RunLimits limits, LineSplitter::OnLine on_line)
      : bound(limits.output_bytes), errors(limits.error_bytes), lines(std::move(on_line)) {}

  std::size_t bound;
  std::string output;
  bool too_much = false;
  Tail errors;
  LineSplitter lines;
  std::weak_ptr<Watch> watch;
};

std::vector<Watch::Sink> sinks_of(const std::shared_ptr<Collected>& collected) {
  return {[collected](std::string_view bytes) {
            if (collected->output.size() + bytes.size() <= collected->bound) {
              collected->output += bytes;
              return;
            }
            collected->too_much = true;
            if (const auto running = collected->watch.lock()) running->signal(SIGKILL);
          },
          [collected](std::string_view bytes) {
            collected->errors.append(bytes);
            collected->lines.feed(bytes);
          }};
}

}  // namespace

rt::Task<Result<Finished>> run_to_end(rt::Op& op, rt::Loop& loop, Command command, RunLimits limits,
                                      LineSplitter::OnLine on_error_line) {
  CO_TRY_OK(op.check());
  CO_TRY(Spawned spawned, spawn(command, Outputs::kSeparate));
  const auto collected = std::make_shared<Collected>(limits, std::move(on_error_line));
  const auto watch = std::make_shared<Watch>(loop, std::move(spawned), sinks_of(collected),
                                             std::move(command.input));
  collected->watch = watch;
  watch->begin();

  rt::Op bounded(op, std::chrono::steady_clock::now() + limits.time);
  auto ended = co_await watch->wait(bounded);
  if (!ended) {
    watch->abandon();
    rt::Op forever;
    (void)co_await watch->wait(forever);
    if (ended.error().code() == Code::kTimeout) {
      co_return fail(Code::kTimeout, "{} did not end within {} and was stopped", command.program,
                     format_duration(limits.time));
    }
    co_return std::unexpected(ended.error());
  }
  collected->lines.finish();
  if (collected->too_much) {
    co_return fail(Code::kTooLarge, "{} printed more than {} and was stopped", command.program,
                   format_size(limits.output_bytes));
  }
  co_return Finished{*ended, std::move(collected->output), collected->errors.text()};
}

}  // namespace berth::process
