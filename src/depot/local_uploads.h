// Upload sessions of the local depot: one growing file each, hashed as it comes.
//
// What is on disk is enough to go on after a restart: the file's length is what is held, and the id
// carries a seal over the repository, so no record is written when an upload begins. Of an upload
// in pieces a second file tells which are held (pieces.h). A power loss may leave a file whose end
// is not what was sent; the digest finds that out.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "crypto/hash.h"
#include "depot/pieces.h"
#include "depot/shelf.h"
#include "rt/async.h"

namespace berth::depot {

class LocalUploads : public Uploads {
 public:
  struct Limits {
    std::size_t sessions = 10'000;   // unfinished uploads
    std::size_t open_at_once = 256;  // of them with an open file; the idle ones are closed first
    std::uint64_t disk_reserve = std::uint64_t{1} << 28;  // bytes that stay free
  };
  // Blocking; makes the key of the seals when there is none.
  static Result<std::unique_ptr<LocalUploads>> open(Shelf& shelf, Limits limits);

  rt::Task<Result<std::string>> begin(rt::Op& op, std::string repository) override;
  rt::Task<Result<std::optional<std::uint64_t>>> held(rt::Op& op, std::string repository,
                                                      std::string id) override;
  rt::Task<Status> check_room(rt::Op& op, std::string repository, std::uint64_t bytes) override;
  rt::Task<Result<std::uint64_t>> append(rt::Op& op, std::string repository, std::string id,
                                         std::optional<std::uint64_t> from,
                                         rt::Reader& body) override;
  rt::Task<Status> put_piece(rt::Op& op, std::string repository, std::string id,
                             std::uint64_t begin, std::uint64_t end, rt::Reader& body) override;
  rt::Task<Result<std::optional<std::size_t>>> pieces(rt::Op& op, std::string repository,
                                                      std::string id) override;
  rt::Task<Status> finish(rt::Op& op, std::string repository, std::string id,
                          oci::Digest digest) override;
  rt::Task<Result<bool>> cancel(rt::Op& op, std::string repository, std::string id) override;

  // Takes away what nobody touched for so long.
  rt::Task<Status> expire(rt::Op& op, std::chrono::seconds older_than);
  std::size_t open_sessions() const { return sessions_.size(); }
  std::size_t unfinished() const { return unfinished_; }

 private:
  struct Session;
  class Turn;
  class PieceTurn;

  LocalUploads(Shelf& shelf, Limits limits, std::string key)
      : shelf_(shelf), limits_(limits), key_(std::move(key)) {}

  std::string seal(std::string_view uuid, std::string_view repository) const;
  bool is_sealed(std::string_view id, std::string_view repository) const;
  static std::string file_name(std::string_view id);
  static std::string pieces_name(std::string_view id);

  // The session, opened from its file when this process does not know it; nullptr when there is
  // none.
  rt::Task<Result<std::shared_ptr<Session>>> find(rt::Op& op, std::string repository,
                                                  std::string id);
  // Up to `room` bytes in all.
  rt::Task<Status> receive(rt::Op& op, Session& session, rt::Reader& body, std::uint64_t room);
  rt::Task<Result<std::uint64_t>> room_of(rt::Op& op, const std::string& repository);
  Status write(Session& session, std::uint64_t offset, Bytes bytes) const;
  static Status hash(Session& session, std::uint64_t offset, Bytes bytes);
  rt::Task<Result<oci::Digest>> digest_of(Session& session, crypto::Algorithm algorithm);
  // Whether the file became the blob; false when the blob was here.
  rt::Task<Result<bool>> publish(rt::Op& op, Session& session, std::string repository,
                                 oci::Digest digest);
  rt::Task<Status> drop(std::string id);
  // From now on it takes pieces; what came in order is the first.
  rt::Task<Status> take_pieces(rt::Op& op, std::shared_ptr<Session> session);
  rt::Task<Status> turn_to_pieces(rt::Op& op, std::shared_ptr<Session> session);
  rt::Task<Status> receive_piece(rt::Op& op, Session& session, Piece piece, rt::Reader& body);
  // So that finish() has less to read.
  rt::Task<Status> hash_pieces(Session& session);
  // kBadRange when there is a gap.
  static Status check_whole(const Session& session);
  void close_idle();

  Shelf& shelf_;
  Limits limits_;
  std::string key_;
  std::size_t unfinished_ = 0;  // files, whether open or not
  std::map<std::string, std::shared_ptr<Session>, std::less<>> sessions_;
};

}  // namespace berth::depot
