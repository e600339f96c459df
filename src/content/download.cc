#include "content/download.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <random>

#include "content/lanes.h"
#include "rt/async.h"

namespace berth::content {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kPiece = 4096 * 1024;
// Less than this is not worth a write of its own while more is coming.
constexpr std::size_t kWorthWriting = 32 * 1024;

bool is_transient(Code code) {
  return code == Code::kUnavailable || code == Code::kTimeout || code == Code::kRateLimited;
}

milliseconds jittered(milliseconds delay) {
  static std::minstd_rand source{std::random_device{}()};
  std::uniform_int_distribution<std::int64_t> spread(delay.count() / 2, delay.count());
  return milliseconds(spread(source));
}

struct Piece {
  std::unique_ptr<std::byte[]> memory = std::make_unique_for_overwrite<std::byte[]>(kPiece);
  std::uint64_t offset = 0;
  std::size_t size = 0;
};

class Download {
 public:
  Download(rt::Loop& loop, Fetcher& from, oci::Descriptor blob, Plan& plan, Sink& sink,
           Progress& progress, DownloadSettings settings)
      : loop_(loop),
        from_(from),
        blob_(std::move(blob)),
        plan_(plan),
        sink_(sink),
        progress_(progress),
        settings_(std::move(settings)),
        changed_(loop),
        landed_(loop) {}

  rt::Task<Status> run(rt::Op& parent) {
    rt::Op op(parent);
    rt::Scope workers(loop_);
    last_progress_ = now();
    const Status done = co_await supervise(op, workers);
    op.cancel();  // also when all is here: another may still be reading what nobody needs
    (void)co_await workers.join();
    co_return done;
  }

 private:
  enum class Kind { kFirst, kAnother, kBeside };

  // A connection at work.
  struct Worker {
    explicit Worker(rt::Op& parent) : op(parent) {}
    rt::Op op;
    Kind kind = Kind::kFirst;
    bool counted = false;  // among the lanes
    bool left = false;     // we gave it up; its failure is ours
  };

  rt::Task<Status> supervise(rt::Op& op, rt::Scope& scope) {
    while (!plan_.complete()) {
      if (workers_.empty()) {
        CO_TRY_OK(co_await begin(op, scope));
      } else {
        add_workers(op, scope, now());
      }
      // An event or the tick, whichever comes first.
      (void)co_await changed_.wait_until(op, steady_clock::now() + settings_.tick);
      CO_TRY_OK(op.check());
      if (fatal_) co_return std::unexpected(*fatal_);
      for (const Plan::Worker slow : plan_.laggards(now())) leave(slow);
    }
    co_return fatal_ ? Status(std::unexpected(*fatal_)) : Status();
  }

  // False when there is nothing for one more.
  bool start(rt::Op& op, rt::Scope& scope, Kind kind) {
    const Plan::Worker id = next_id_++;
    const auto time = now();
    auto run = plan_.next(id, time);
    if (!run && kind == Kind::kBeside) run = plan_.beside(id, time);
    if (!run) return false;
    workers_.emplace(id, std::make_shared<Worker>(op));
    scope.spawn(work(id, kind, *run));
    return true;
  }

  void add_workers(rt::Op& op, rt::Scope& scope, rt::SteadyTime time) {
    if (!lanes_ || whole_only_) return;
    if (plan_.lone_and_slow(lanes_->best(), time)) {
      lanes_->take();
      if (!start(op, scope, Kind::kBeside)) lanes_->give_back();
    }
    // Somebody waits for bytes that no connection comes to: one more, however many there are.
    if (plan_.urgent() && workers_.size() < lanes_->most()) {
      lanes_->take();
      if (!start(op, scope, Kind::kAnother)) lanes_->give_back();
    }
    // What was started may have ended at once, and found out that more are of no use.
    while (!whole_only_ && lanes_->try_take()) {
      if (start(op, scope, Kind::kAnother)) continue;
      lanes_->give_back();
      break;
    }
  }

  void leave(Plan::Worker id) {
    const auto found = workers_.find(id);
    if (found == workers_.end() || std::exchange(found->second->left, true)) return;
    found->second->op.cancel(Error(Code::kUnavailable, "the connection crawled"));
  }

  rt::SteadyTime now() const { return settings_.now ? settings_.now() : steady_clock::now(); }

  // Nobody works: the beginning, or all that worked ended before everything was here.
  rt::Task<Status> begin(rt::Op& op, rt::Scope& scope) {
    const auto time = now();
    if (begun_ && plan_.held() == held_before_) {
      const Error failure = last_failure_.value_or(
          Error(Code::kUnavailable, "nothing came for " + blob_.digest.string()));
      ++in_vain_;
      if (in_vain_ >= settings_.tries_in_vain || time - last_progress_ > settings_.longest_in_vain)
        co_return std::unexpected(failure);
      CO_TRY_OK(co_await pause(op, failure));
    } else {
      in_vain_ = 0;
      last_progress_ = time;
    }
    begun_ = true;
    held_before_ = plan_.held();
    last_failure_.reset();
    if (lanes_) lanes_->take();
    if (!start(op, scope, Kind::kFirst) && lanes_) lanes_->give_back();
    co_return Status();
  }

  rt::Task<Status> pause(rt::Op& op, Error failure) {
    const milliseconds delay = delay_after(failure);
    progress_.on({.kind = Event::Kind::kRetry,
                  .blob = blob_,
                  .current = plan_.held(),
                  .message = fmt::format("trying again in {}: {}", format_duration(delay),
                                         failure.message())});
    co_return co_await rt::sleep_for(op, delay);
  }

  milliseconds delay_after(const Error& failure) const {
    const milliseconds delay = jittered(std::min(
        settings_.first_delay * (1 << std::min(in_vain_ - 1, 20)), settings_.longest_delay));
    return std::max<milliseconds>(delay, failure.retry_after().value_or(std::chrono::seconds(0)));
  }

  rt::Task<Status> work(Plan::Worker id, Kind kind, Plan::Run run) {
    const std::shared_ptr<Worker> self = workers_.at(id);
    self->kind = kind;
    self->counted = lanes_ != nullptr;
    const Status done = co_await work_through(*self, id, run);
    plan_.release(id);
    workers_.erase(id);
    if (self->counted) lanes_->give_back();
    if (!done && !self->left) note(done.error());
    changed_.notify_all();
    co_return Status();
  }

  void note(const Error& failure) {
    if (is_transient(failure.code())) {
      last_failure_ = failure;
      if (lanes_) lanes_->failed(now());
    } else if (!fatal_) {
      fatal_ = failure;
    }
  }

  rt::Task<Status> work_through(Worker& self, Plan::Worker id, Plan::Run run) {
    for (std::optional<Plan::Run> next = run; next; next = plan_.next(id, now())) {
      CO_TRY_OK(co_await fetch(self, id, *next));
      if (is_surplus(self) || plan_.complete()) break;
    }
    co_return Status();
  }

  bool is_surplus(const Worker& self) const {
    return self.kind == Kind::kAnother && lanes_->too_many();
  }

  rt::Task<Status> fetch(Worker& self, Plan::Worker id, Plan::Run run) {
    const ByteRange range = run.begin == 0 && run.end == blob_.size
                                ? ByteRange{}
                                : ByteRange{.offset = run.begin, .length = run.end - run.begin};
    CO_TRY(Source source, co_await from_.fetch(self.op, blob_, range));
    if (source.offset > run.begin) {
      co_return fail(Code::kBadRange, "asked for {} from byte {}, but it came from byte {}",
                     blob_.digest.string(), run.begin, source.offset);
    }
    if (source.offset < run.begin) {
      CO_TRY_OK(take_all(self, id));
      run = {.begin = 0, .end = blob_.size};
    }
    if (!lanes_ && source.lanes && !whole_only_) {
      lanes_ = source.lanes;
      lanes_->take();
      self.counted = true;
    }
    co_return co_await receive(self, id, source, run.end);
  }

  // The server knows no ranges: one connection gets everything, and what is held is passed over.
  Status take_all(Worker& self, Plan::Worker id) {
    whole_only_ = true;
    if (workers_.size() > 1) {
      self.left = true;
      return fail(Code::kUnavailable, "the server sends {} only as a whole", blob_.digest.string());
    }
    plan_.take_all(id);
    return {};
  }

  // Reads while the piece before is written; a piece is as large as what came in the meantime.
  rt::Task<Status> receive(Worker& self, Plan::Worker id, Source& source, std::uint64_t end) {
    std::array<Piece, 2> pieces;
    rt::Scope writing(loop_);
    Piece* piece = &pieces[0];
    piece->offset = source.offset;
    Status received;
    for (bool more = true; more;) {
      const auto count = co_await read(self, id, source, *piece);
      const std::uint64_t at = piece->offset + piece->size;
      if (!count) received = std::unexpected(count.error());
      more = count && *count > 0 && !is_over(self, id, at);
      if (more && !is_worth_writing(*piece, writing)) continue;
      const Status before = co_await writing.join();
      if (!before) co_return before;
      if (piece->size > 0) writing.spawn(write(*piece));
      piece = piece == &pieces[0] ? &pieces[1] : &pieces[0];
      piece->offset = at;
      piece->size = 0;
    }
    if (received && piece->offset == end) received = co_await expect_end(self, source, end);
    if (!received && !self.left)
      note(received.error());  // before the rest is written and all is well
    const Status last = co_await writing.join();
    if (!last) co_return last;
    if (received && !is_over(self, id, piece->offset)) co_return cut_short(piece->offset);
    co_return received;
  }

  // At the end of its run, which may have come nearer, or between two units when it is one too
  // many.
  bool is_over(const Worker& self, Plan::Worker id, std::uint64_t at) const {
    return at >= plan_.end_of(id) || (at % plan_.unit_bytes() == 0 && is_surplus(self));
  }

  // A full piece or unit has to be; less is written when nothing else is.
  bool is_worth_writing(const Piece& piece, const rt::Scope& writing) const {
    return piece.size == kPiece || (piece.offset + piece.size) % plan_.unit_bytes() == 0 ||
           (piece.size >= kWorthWriting && writing.running() == 0);
  }

  rt::Task<Result<std::size_t>> read(Worker& self, Plan::Worker id, Source& source, Piece& piece) {
    const std::uint64_t at = piece.offset + piece.size;
    const std::uint64_t unit_left = plan_.unit_bytes() - at % plan_.unit_bytes();
    const std::uint64_t run_left = std::max(plan_.end_of(id), at) - at;
    const auto most = static_cast<std::size_t>(
        std::min({std::uint64_t{kPiece - piece.size}, unit_left, run_left}));
    if (most == 0) co_return 0;
    CO_TRY(const std::size_t count,
           co_await source.reader->read(self.op, {piece.memory.get() + piece.size, most}));
    const auto time = now();
    piece.size += count;
    plan_.moved(id, at + count, count, time);
    if (lanes_) lanes_->moved(count, time);
    co_return count;
  }

  // Reading to the end lets the connection be used again, and finds out what is too long.
  rt::Task<Status> expect_end(Worker& self, Source& source, std::uint64_t end) {
    std::array<std::byte, 1> extra{};
    const auto count = co_await source.reader->read(self.op, extra);
    if (plan_.complete() && !count) co_return Status();
    if (!count) co_return std::unexpected(count.error());
    if (*count == 0 || end < blob_.size) co_return Status();
    co_return fail(Code::kDigestMismatch, "more came than the {} bytes that were announced",
                   blob_.size);
  }

  Status cut_short(std::uint64_t at) const {
    return fail(Code::kUnavailable,
                "{} ended after {} of {} bytes; the next try goes on from there",
                blob_.digest.string(), at, blob_.size);
  }

  // Not given up by a cancelled Op: what came is kept.
  rt::Task<Status> write(const Piece& piece) {
    rt::Op op;
    while (plan_.busy(piece.offset)) CO_TRY_OK(co_await landed_.wait(op));
    const Plan::Run mine = plan_.claim(piece.offset, piece.size);
    if (mine.empty()) co_return Status();
    const Bytes bytes(piece.memory.get() + (mine.begin - piece.offset), mine.end - mine.begin);
    const Status written = co_await sink_.write(op, mine.begin, bytes);
    if (!written) {
      if (!fatal_) fatal_ = written.error();
      landed_.notify_all();
      co_return written;
    }
    plan_.landed(mine);
    landed_.notify_all();
    progress_.on({.kind = Event::Kind::kBytes, .blob = blob_, .current = plan_.held()});
    if (plan_.complete()) changed_.notify_all();
    co_return Status();
  }

  rt::Loop& loop_;
  Fetcher& from_;
  oci::Descriptor blob_;
  Plan& plan_;
  Sink& sink_;
  Progress& progress_;
  DownloadSettings settings_;
  rt::Event changed_;
  rt::Event landed_;

  std::map<Plan::Worker, std::shared_ptr<Worker>> workers_;
  Plan::Worker next_id_ = 0;
  std::shared_ptr<Lanes> lanes_;
  bool whole_only_ = false;
  std::optional<Error> last_failure_;
  std::optional<Error> fatal_;
  bool begun_ = false;
  std::uint64_t held_before_ = 0;
  int in_vain_ = 0;
  rt::SteadyTime last_progress_;
};

}  // namespace

rt::Task<Status> download(rt::Op& op, rt::Loop& loop, Fetcher& from, oci::Descriptor blob,
                          Plan& plan, Sink& sink, Progress& progress, DownloadSettings settings) {
  Download work(loop, from, std::move(blob), plan, sink, progress, std::move(settings));
  co_return co_await work.run(op);
}

}  // namespace berth::content
