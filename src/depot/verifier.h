// Reads what is stored and compares it with its digests, while the registry serves.
//
// Loop thread; reading on the pool, one piece after another and at most so many bytes a second for
// all passes together. A damaged blob is out of service at once: its file is moved to
// damaged/<alg>-<hex>, so that it is "not here" and the next push brings it back. What cannot be
// read may be read tomorrow, so it stays. Nothing is kept in the catalogue: a pass goes by digest,
// and a regular one writes down where it is (docs/dev/depot.md). close() must have been awaited
// before it goes, when a pass was begun.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "depot/shelf.h"
#include "rt/async.h"

namespace berth::depot {

inline constexpr std::string_view kDamagedFolder = "damaged";

class Verifier {
 public:
  // `rate` in bytes a second; 0: as fast as the disk is.
  Verifier(Shelf& shelf, std::uint64_t rate);

  // As Care says.
  rt::Task<Result<std::optional<std::uint64_t>>> verify(rt::Op& op, std::string repository);
  rt::Task<Result<std::optional<Verification>>> verification(rt::Op& op, std::uint64_t pass,
                                                             std::chrono::milliseconds patience);
  // A pass over everything so often, until the Op is cancelled; goes on where an earlier process
  // was.
  rt::Task<Status> run_regularly(rt::Op& op, std::chrono::seconds every);
  // Called on the loop for each blob that was looked at; nullopt: it is right.
  using Listener = std::function<void(std::uint64_t bytes, std::optional<Damage::Kind> damage)>;
  void when_checked(Listener call) { told_ = std::move(call); }
  rt::Task<Status> close();

  // Takes away files in damaged/ whose blob is here again or no longer needed.
  rt::Task<Status> tidy(rt::Op& op);

 private:
  enum class Content { kRight, kWrong, kMissing, kUnreadable };
  struct Seen {
    Content content = Content::kRight;
    fs::FileInfo file;
  };
  struct Pass;

  static rt::Task<Status> carry_out(Verifier& verifier, std::shared_ptr<Pass> pass);
  static Result<std::vector<StoredBlob>> stored_behind(Database& database,
                                                       const std::string& repository,
                                                       const std::string& last);
  static bool is_as_seen(const std::optional<fs::FileInfo>& now, const Seen& seen);
  static Damage::Kind kind_of(Content content);
  rt::Task<Status> run(rt::Op& op, Pass& pass);
  rt::Task<Status> note(Pass& pass);
  rt::Task<Status> check(rt::Op& op, Pass& pass, StoredBlob blob);
  rt::Task<Result<Seen>> look(rt::Op& op, StoredBlob blob);
  rt::Task<Result<Content>> read(rt::Op& op, fs::File file, StoredBlob blob);
  // What is told of a blob that does not look right; nullopt when it is right or gone by now.
  rt::Task<Result<std::optional<Damage>>> judge(rt::Op& op, StoredBlob blob, Seen seen);
  rt::Task<Status> keep_pace(rt::Op& op, std::uint64_t bytes);
  std::size_t running() const;

  Shelf& shelf_;
  std::uint64_t rate_;
  rt::SteadyTime due_{};  // before that nothing is read
  std::deque<std::shared_ptr<Pass>> passes_;
  std::uint64_t last_pass_ = 0;
  Listener told_ = [](std::uint64_t, std::optional<Damage::Kind>) {};
  rt::Scope scope_;
  rt::Op op_;
};

}  // namespace berth::depot
