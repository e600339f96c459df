#include "depot/local_uploads.h"

#include <algorithm>

#include "base/failpoint.h"
#include "base/log.h"
#include "depot/local_blobs.h"
#include "depot/pipeline.h"

namespace berth::depot {
namespace {

constexpr std::string_view kKeyFile = "upload.key";
constexpr std::string_view kPrefix = "upload-";
constexpr std::string_view kPiecesPrefix = "pieces-";
constexpr std::size_t kUuid = 36;
constexpr std::size_t kSeal = 32;

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 62;
constexpr std::uint64_t kWriteback = 8 * 1024 * 1024;    // so that the sync at the end is short
constexpr std::uint64_t kLookAtDisk = 64 * 1024 * 1024;  // how often free space is looked at
// A hash that lags behind (after a restart) reads this much for each piece that is written.
constexpr std::size_t kCatchUp = 4 * 1024 * 1024;
// And so much when a piece has come: its caller waits for it.
constexpr std::uint64_t kCatchUpByPiece = std::uint64_t{1} << 30;

std::string make_uuid() {  // version 4
  std::string hex = crypto::random_hex(16);
  hex[12] = '4';
  hex[16] = "89ab"[hex[16] % 4];
  return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4),
                     hex.substr(16, 4), hex.substr(20));
}

Status hash_file(const fs::File& file, crypto::Hasher& hasher, std::uint64_t& at,
                 std::uint64_t end) {
  if (at >= end) return {};
  std::vector<std::byte> buffer(1024 * 1024);
  while (at < end) {
    const std::size_t most = std::min<std::uint64_t>(buffer.size(), end - at);
    TRY(const std::size_t count, file.read_at(at, std::span(buffer).first(most)));
    if (count == 0) return fail(Code::kCorrupt, "{} ended before byte {}", file.name(), end);
    hasher.update(std::span(buffer).first(count));
    at += count;
  }
  return {};
}

}  // namespace

struct LocalUploads::Session {
  explicit Session(rt::Loop& loop) : freed(loop) {}

  std::string id;
  fs::File file;
  std::uint64_t held = 0;
  crypto::Hasher hasher{crypto::Algorithm::kSha256};
  std::uint64_t hashed = 0;  // by hasher; behind `held` after a restart
  std::uint64_t before = 0;  // held when the present stream began
  rt::SteadyTime touched = std::chrono::steady_clock::now();
  rt::Op* turn = nullptr;           // of whoever works on it
  std::map<rt::Op*, Piece> coming;  // pieces that are being written
  std::unique_ptr<Pieces> pieces;   // nullptr: it comes in order
  bool turning = false;             // to pieces
  bool hashing = false;             // of them
  rt::Event freed;
  bool over = false;  // finished, cancelled or given up

  bool is_idle() const { return turn == nullptr && coming.empty(); }
};

namespace {

Error in_pieces() { return Error(Code::kConflict, "this upload comes in pieces, not in order"); }

Error cut_off() { return Error(Code::kConflict, "another request goes on with this upload"); }

}  // namespace

// Exclusive use of a session; cuts off whoever has it.
class LocalUploads::Turn {
 public:
  static rt::Task<Result<std::unique_ptr<Turn>>> take(rt::Op& op,
                                                      std::shared_ptr<Session> session) {
    while (!session->is_idle()) {
      if (session->turn != nullptr) session->turn->cancel(cut_off());
      for (const auto& [working, piece] : session->coming) working->cancel(cut_off());
      CO_TRY_OK(co_await session->freed.wait(op));
    }
    if (session->over) co_return fail(Code::kNotFound, "the upload is over");
    co_return std::unique_ptr<Turn>(new Turn(op, std::move(session)));
  }
  Turn(const Turn&) = delete;
  ~Turn() {
    session_->turn = nullptr;
    session_->touched = std::chrono::steady_clock::now();
    session_->freed.notify_all();
  }
  rt::Op& op() { return op_; }

 private:
  Turn(rt::Op& parent, std::shared_ptr<Session> session)
      : op_(parent), session_(std::move(session)) {
    session_->turn = &op_;
  }
  rt::Op op_;
  std::shared_ptr<Session> session_;
};

// Use of a part of a session, beside those of other parts. Whoever wrote to the same bytes is gone
// when it is taken, and what was hashed of them is forgotten: a blob is what is in its file.
class LocalUploads::PieceTurn {
 public:
  static rt::Task<Result<std::unique_ptr<PieceTurn>>> take(rt::Op& op,
                                                           std::shared_ptr<Session> session,
                                                           Piece piece) {
    while (session->turn != nullptr || cut(*session, piece) ||
           (session->hashing && piece.begin < session->pieces->prefix())) {
      CO_TRY_OK(co_await session->freed.wait(op));
    }
    if (session->over) co_return fail(Code::kNotFound, "the upload is over");
    CO_TRY_OK(session->pieces->forget(piece));
    if (piece.begin < session->hashed) {
      session->hasher = crypto::Hasher(crypto::Algorithm::kSha256);
      session->hashed = 0;
    }
    co_return std::unique_ptr<PieceTurn>(new PieceTurn(op, std::move(session), piece));
  }
  PieceTurn(const PieceTurn&) = delete;
  ~PieceTurn() {
    session_->coming.erase(&op_);
    session_->touched = std::chrono::steady_clock::now();
    session_->freed.notify_all();
  }
  rt::Op& op() { return op_; }

 private:
  PieceTurn(rt::Op& parent, std::shared_ptr<Session> session, Piece piece)
      : op_(parent), session_(std::move(session)) {
    session_->coming.emplace(&op_, piece);
  }
  // Whether there was somebody to cut off.
  static bool cut(Session& session, const Piece& piece) {
    bool any = false;
    for (const auto& [working, other] : session.coming) {
      if (!piece.overlaps(other)) continue;
      working->cancel(cut_off());
      any = true;
    }
    return any;
  }

  rt::Op op_;
  std::shared_ptr<Session> session_;
};

Result<std::unique_ptr<LocalUploads>> LocalUploads::open(Shelf& shelf, Limits limits) {
  TRY(std::string key, secret(shelf, kKeyFile));
  std::unique_ptr<LocalUploads> uploads(new LocalUploads(shelf, limits, std::move(key)));
  TRY(const fs::Dir ingest, shelf.root().subdir(store::kIngestFolder));
  TRY(const auto names, ingest.list());
  uploads->unfinished_ = static_cast<std::size_t>(std::ranges::count_if(
      names, [](const std::string& name) { return name.starts_with(kPrefix); }));
  return uploads;
}

std::string LocalUploads::seal(std::string_view uuid, std::string_view repository) const {
  const std::string mac = crypto::hmac_sha256(key_, fmt::format("{}\n{}", uuid, repository));
  return hex_encode(as_bytes(mac)).substr(0, kSeal);
}

bool LocalUploads::is_sealed(std::string_view id, std::string_view repository) const {
  if (id.size() != kUuid + 1 + kSeal || id[kUuid] != '.') return false;
  const std::string_view uuid = id.substr(0, kUuid);
  const bool grammar = std::ranges::all_of(
      uuid, [](char c) { return c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  return grammar && crypto::constant_time_equal(id.substr(kUuid + 1), seal(uuid, repository));
}

std::string LocalUploads::file_name(std::string_view id) {
  return fmt::format("{}/{}{}", store::kIngestFolder, kPrefix, id.substr(0, kUuid));
}

std::string LocalUploads::pieces_name(std::string_view id) {
  return fmt::format("{}/{}{}", store::kIngestFolder, kPiecesPrefix, id.substr(0, kUuid));
}

rt::Task<Result<std::string>> LocalUploads::begin(rt::Op& op, std::string repository) {
  CO_TRY_OK(op.check());
  if (unfinished_ >= limits_.sessions) {
    co_return std::unexpected(
        Error(Code::kRateLimited,
              fmt::format("{} uploads are unfinished: try again when some are done", unfinished_))
            .with_retry_after(std::chrono::seconds(10)));
  }
  close_idle();
  const std::string uuid = make_uuid();
  std::string id = uuid + "." + seal(uuid, repository);
  const auto session = std::make_shared<Session>(shelf_.loop());
  session->id = id;
  CO_TRY(session->file, co_await rt::blocking(shelf_.loop(), [this, &id] {
           return of_disk(shelf_.root().create_new(file_name(id)));
         }));
  ++unfinished_;
  sessions_.emplace(id, session);
  co_return id;
}

// What nobody works on goes on from its file when somebody comes back.
void LocalUploads::close_idle() {
  if (sessions_.size() < limits_.open_at_once) return;
  std::erase_if(sessions_, [](const auto& entry) {
    return entry.second->is_idle() && entry.second.use_count() == 1;
  });
}

rt::Task<Result<std::shared_ptr<LocalUploads::Session>>> LocalUploads::find(rt::Op& op,
                                                                            std::string repository,
                                                                            std::string id) {
  CO_TRY_OK(op.check());
  if (!is_sealed(id, repository)) co_return nullptr;
  if (const auto known = sessions_.find(id); known != sessions_.end()) co_return known->second;
  auto file = co_await rt::blocking(
      shelf_.loop(), [this, &id] { return shelf_.root().open_write(file_name(id)); });
  if (!file && file.error().code() == Code::kNotFound) co_return nullptr;
  if (!file) co_return std::unexpected(of_disk(file.error()));
  CO_TRY(const fs::FileInfo info, file->info());
  CO_TRY(auto pieces, co_await rt::blocking(shelf_.loop(), [this, &id] {
           return of_disk(Pieces::open(shelf_.root(), pieces_name(id)));
         }));
  auto session = std::make_shared<Session>(shelf_.loop());
  session->id = id;
  session->file = std::move(*file);
  session->held = info.size;
  session->pieces = std::move(pieces);
  // Another request may have opened it meanwhile.
  co_return sessions_.emplace(id, std::move(session)).first->second;
}

rt::Task<Result<std::optional<std::uint64_t>>> LocalUploads::held(rt::Op& op,
                                                                  std::string repository,
                                                                  std::string id) {
  CO_TRY(const auto session, co_await find(op, std::move(repository), std::move(id)));
  if (!session || session->over) co_return std::nullopt;
  if (session->pieces) co_return session->pieces->prefix();
  // Whoever asks has lost its connection: what that one still has in hand is taken first.
  const auto turn = co_await Turn::take(op, session);
  if (!turn && turn.error().code() == Code::kNotFound) co_return std::nullopt;
  if (!turn) co_return std::unexpected(turn.error());
  co_return session->held;
}

rt::Task<Result<std::uint64_t>> LocalUploads::room_of(rt::Op& op, const std::string& repository) {
  if (shelf_.quotas().none()) co_return kNoQuota;
  co_return co_await shelf_.read(op, [this, &repository](Database& database) {
    return shelf_.quotas().room(database, repository);
  });
}

rt::Task<Status> LocalUploads::check_room(rt::Op& op, std::string repository, std::uint64_t bytes) {
  if (shelf_.quotas().none()) co_return Status();
  co_return co_await shelf_.read(op, [this, &repository, bytes](Database& database) {
    return shelf_.quotas().check(database, repository, bytes);
  });
}

rt::Task<Result<std::uint64_t>> LocalUploads::append(rt::Op& op, std::string repository,
                                                     std::string id,
                                                     std::optional<std::uint64_t> from,
                                                     rt::Reader& body) {
  CO_TRY(const auto session, co_await find(op, repository, id));
  if (!session) co_return fail(Code::kNotFound, "there is no upload {}", printable(id, 80));
  CO_TRY(const std::uint64_t room, co_await room_of(op, repository));
  // Before anybody is cut off, and when a piece came while this waited.
  if (session->pieces) co_return std::unexpected(in_pieces());
  CO_TRY(const auto turn, co_await Turn::take(op, session));
  if (session->pieces) co_return std::unexpected(in_pieces());
  if (from && *from != session->held) {
    co_return fail(Code::kBadRange, "the upload has {} bytes; what follows has to begin there",
                   session->held);
  }
  session->before = session->held;
  const Status received = co_await receive(turn->op(), *session, body, room);
  if (!received && received.error().code() == Code::kDenied)
    CO_TRY_OK(co_await check_room(op, repository, room + 1));  // says which
  if (!received) co_return std::unexpected(received.error());
  co_return session->held;
}

// Not given up with the request: what arrived is kept.
rt::Task<Status> LocalUploads::receive(rt::Op& op, Session& session, rt::Reader& body,
                                       std::uint64_t room) {
  Pipeline pipeline(
      shelf_.loop(),
      [this, &session, room](std::uint64_t offset, Bytes bytes) -> Status {
        if (offset + bytes.size() > room) return fail(Code::kDenied, "the quota is used up");
        return write(session, offset, bytes);
      },
      [&session](std::uint64_t offset, Bytes bytes) { return hash(session, offset, bytes); },
      [&session](std::uint64_t end) { session.held = end; });
  co_return co_await pipeline.run(op, body, session.held);
}

rt::Task<Result<std::optional<std::size_t>>> LocalUploads::pieces(rt::Op& op,
                                                                  std::string repository,
                                                                  std::string id) {
  CO_TRY(const auto session, co_await find(op, std::move(repository), std::move(id)));
  if (!session || session->over) co_return std::nullopt;
  co_return session->pieces ? session->pieces->count() : 0;
}

rt::Task<Status> LocalUploads::take_pieces(rt::Op& op, std::shared_ptr<Session> session) {
  // Pieces that come at the same time begin together: none of them cuts off another.
  while (session->turning) CO_TRY_OK(co_await session->freed.wait(op));
  if (session->pieces) co_return Status();
  session->turning = true;
  const Status turned = co_await turn_to_pieces(op, session);
  session->turning = false;
  session->freed.notify_all();
  co_return turned;
}

rt::Task<Status> LocalUploads::turn_to_pieces(rt::Op& op, std::shared_ptr<Session> session) {
  CO_TRY(const auto turn, co_await Turn::take(op, session));
  auto made = co_await rt::blocking(shelf_.loop(), [&]() -> Result<std::unique_ptr<Pieces>> {
    TRY(auto pieces, of_disk(Pieces::create(shelf_.root(), pieces_name(session->id))));
    const Piece before{.begin = 0, .end = session->held};
    if (before.end > 0) TRY_OK(of_disk(pieces->write(pieces->line_of(before))));
    return pieces;
  });
  CO_TRY(session->pieces, std::move(made));
  if (session->held > 0) session->pieces->hold({.begin = 0, .end = session->held});
  co_return Status();
}

rt::Task<Status> LocalUploads::put_piece(rt::Op& op, std::string repository, std::string id,
                                         std::uint64_t begin, std::uint64_t end, rt::Reader& body) {
  CO_TRY(const auto session, co_await find(op, std::move(repository), id));
  if (!session) co_return fail(Code::kNotFound, "there is no upload {}", printable(id, 80));
  if (begin >= end || end > kMostBytes)
    co_return fail(Code::kTooLarge, "{} to {} is no piece of a blob", begin, end);
  CO_TRY_OK(co_await take_pieces(op, session));
  const Piece piece{.begin = begin, .end = end};
  CO_TRY(const auto turn, co_await PieceTurn::take(op, session, piece));
  CO_TRY_OK(co_await receive_piece(turn->op(), *session, piece, body));
  const Pieces::Line line = session->pieces->line_of(piece);
  CO_TRY_OK(co_await rt::blocking(
      shelf_.loop(), [&session, &line] { return of_disk(session->pieces->write(line)); }));
  session->pieces->hold(piece);
  co_return co_await hash_pieces(*session);
}

rt::Task<Status> LocalUploads::receive_piece(rt::Op& op, Session& session, Piece piece,
                                             rt::Reader& body) {
  std::uint64_t reached = piece.begin;
  Pipeline pipeline(
      shelf_.loop(),
      [this, &session, piece](std::uint64_t offset, Bytes bytes) -> Status {
        if (bytes.size() > piece.end - offset)
          return fail(Code::kInvalid, "more came than the piece to byte {} has", piece.end);
        return write(session, offset, bytes);
      },
      [](std::uint64_t, Bytes) { return Status(); },
      [&reached](std::uint64_t end) { reached = end; });
  CO_TRY_OK(co_await pipeline.run(op, body, piece.begin));
  if (reached == piece.end) co_return Status();
  co_return fail(Code::kInvalid, "the piece to byte {} ended at byte {}", piece.end, reached);
}

// One at a time, and only over pieces that nobody writes to: whoever is about to waits for it.
rt::Task<Status> LocalUploads::hash_pieces(Session& session) {
  const std::uint64_t there = std::min(session.pieces->prefix(), session.hashed + kCatchUpByPiece);
  if (session.hashing || session.hashed >= there) co_return Status();
  session.hashing = true;
  const Status done = co_await rt::blocking(shelf_.loop(), [&session, there] {
    return hash_file(session.file, session.hasher, session.hashed, there);
  });
  session.hashing = false;
  session.freed.notify_all();
  co_return done;
}

Status LocalUploads::check_whole(const Session& session) {
  if (!session.pieces) return {};
  const std::uint64_t prefix = session.pieces->prefix();
  TRY(const fs::FileInfo info, session.file.info());
  if (prefix == session.pieces->end() && prefix == info.size) return {};
  return fail(Code::kBadRange,
              "pieces are missing: the first is at byte {} of at least {}; send it, then end the "
              "upload again",
              prefix, std::max(session.pieces->end(), info.size));
}

Status LocalUploads::write(Session& session, std::uint64_t offset, Bytes bytes) const {
  const std::uint64_t end = offset + bytes.size();
  if (offset / kLookAtDisk != end / kLookAtDisk || offset == 0) {
    TRY(const std::uint64_t free, shelf_.root().free_bytes());
    if (free < limits_.disk_reserve + bytes.size()) {
      return fail(Code::kExhausted,
                  "the registry's disk has {} bytes left, of which {} are kept free: free some "
                  "space or ask its operator",
                  free, limits_.disk_reserve);
    }
  }
  TRY_OK(of_disk(session.file.write_at(offset, bytes)));
  BERTH_FAILPOINT("depot.upload.after_write");
  if (offset / kWriteback != end / kWriteback)
    session.file.start_writeback(offset / kWriteback * kWriteback, kWriteback);
  return {};
}

// From memory as it comes. A hash that is behind, after a restart, reads the file up to where this
// stream began, so much for each piece that the two grow together; finish() reads the rest.
Status LocalUploads::hash(Session& session, std::uint64_t offset, Bytes bytes) {
  if (session.hashed < offset) {
    const std::uint64_t there = std::min(session.before, session.hashed + kCatchUp);
    if (session.hashed < there)
      TRY_OK(hash_file(session.file, session.hasher, session.hashed, there));
  }
  if (session.hashed != offset) return {};
  session.hasher.update(bytes);
  session.hashed += bytes.size();
  return {};
}

rt::Task<Result<oci::Digest>> LocalUploads::digest_of(Session& session,
                                                      crypto::Algorithm algorithm) {
  // The algorithm is first named when the upload ends: sha256 went along, others read it again.
  crypto::Hasher other(algorithm);
  const bool same = algorithm == crypto::Algorithm::kSha256;
  crypto::Hasher& hasher = same ? session.hasher : other;
  std::uint64_t begin = 0;
  std::uint64_t& at = same ? session.hashed : begin;
  CO_TRY_OK(co_await rt::blocking(shelf_.loop(), [&session, &hasher, &at] {
    return hash_file(session.file, hasher, at, session.held);
  }));
  co_return oci::Digest::from_hash(algorithm, hasher.finish());
}

rt::Task<Status> LocalUploads::finish(rt::Op& op, std::string repository, std::string id,
                                      oci::Digest digest) {
  CO_TRY(const auto session, co_await find(op, repository, id));
  if (!session) co_return fail(Code::kNotFound, "there is no upload {}", printable(id, 80));
  CO_TRY(const auto turn, co_await Turn::take(op, session));
  CO_TRY_OK(check_whole(*session));
  if (session->pieces) session->held = session->pieces->prefix();
  session->over = true;  // the hash can be ended once only
  // All of it is here: a caller that leaves now finds the blob when it asks again.
  rt::Op unhurried;
  const auto found = co_await digest_of(*session, digest.algorithm());
  Result<bool> done = false;
  if (!found) {
    done = std::unexpected(found.error());
  } else if (*found != digest) {
    done = fail(Code::kDigestMismatch, "the {} bytes that came are {}, not {}: push the blob again",
                session->held, found->string(), digest.string());
  } else {
    done = co_await publish(unhurried, *session, std::move(repository), digest);
  }
  const bool moved = done && *done;  // the file is the blob's now
  if (moved) {
    sessions_.erase(id);
    --unfinished_;
  }
  Status tidied;
  if (moved && session->pieces) {
    tidied = co_await rt::blocking(shelf_.loop(),
                                   [this, &id] { return shelf_.root().remove(pieces_name(id)); });
  }
  if (!moved) tidied = co_await drop(std::move(id));
  // No affair of the caller's: expire() finds what is left.
  if (!tidied) log::warning("an upload's file stays: {}", printable(tidied.error().message()));
  if (!done) co_return std::unexpected(done.error());
  co_return Status();
}

rt::Task<Result<bool>> LocalUploads::publish(rt::Op& op, Session& session, std::string repository,
                                             oci::Digest digest) {
  store::Arrival arrival{
      .blob = {.media_type = "application/octet-stream", .digest = digest, .size = session.held},
      .file = file_name(session.id)};
  CO_TRY(const bool taken, co_await shelf_.settle(op, session.file, std::move(arrival),
                                                  [this, repository, digest](Database& database) {
                                                    return admit_member(database, shelf_.quotas(),
                                                                        repository, digest);
                                                  }));
  shelf_.blobs.erase(Shelf::key(repository, digest.string()));
  co_return taken;
}

rt::Task<Status> LocalUploads::drop(std::string id) {
  sessions_.erase(id);
  --unfinished_;
  co_return co_await rt::blocking(shelf_.loop(), [this, &id]() -> Status {
    TRY_OK(shelf_.root().remove(pieces_name(id)));
    return shelf_.root().remove(file_name(id));
  });
}

rt::Task<Result<bool>> LocalUploads::cancel(rt::Op& op, std::string repository, std::string id) {
  CO_TRY(const auto session, co_await find(op, std::move(repository), id));
  if (!session) co_return false;
  const auto turn = co_await Turn::take(op, session);
  if (!turn && turn.error().code() == Code::kNotFound) co_return false;
  if (!turn) co_return std::unexpected(turn.error());
  session->over = true;
  CO_TRY_OK(of_disk(co_await drop(std::move(id))));
  co_return true;
}

rt::Task<Status> LocalUploads::expire(rt::Op& op, std::chrono::seconds older_than) {
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(sessions_, [&](const auto& entry) {
    return entry.second->is_idle() && now - entry.second->touched >= older_than;
  });
  std::vector<std::string> known;
  for (const auto& [id, session] : sessions_) {
    known.push_back(file_name(id));
    known.push_back(pieces_name(id));
  }
  CO_TRY_OK(op.check());
  std::size_t expired = 0;
  const Status done = co_await rt::blocking(shelf_.loop(), [&]() -> Status {
    TRY(const fs::Dir ingest, shelf_.root().subdir(store::kIngestFolder));
    TRY(const auto names, ingest.list());
    for (const std::string& name : names) {
      const std::string path = fmt::format("{}/{}", store::kIngestFolder, name);
      if (std::ranges::find(known, path) != known.end()) continue;
      TRY(const auto info, ingest.find(name));
      if (!info) continue;
      const auto age =
          store::now().time_since_epoch() -
          std::chrono::floor<std::chrono::seconds>(std::chrono::nanoseconds(info->mtime_ns));
      // Also manifests that were not stored and trash that was not emptied: their server died.
      if (age < older_than) continue;
      TRY_OK(ingest.remove_tree(name));
      if (name.starts_with(kPrefix)) ++expired;
    }
    return {};
  });
  unfinished_ -= std::min(unfinished_, expired);
  co_return done;
}

}  // namespace berth::depot
