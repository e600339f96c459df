// Brings one blob into a registry: an upload session and one of three ways to fill it.
//
// A single streamed PUT is the way that works with most registries and costs least; one streamed
// PATCH keeps what came at some that lose a cut PUT; chunks (PATCHes with Content-Range) are for
// those that refuse large bodies. Whatever went wrong, the registry is asked how far it is and the
// upload goes on from there, also in a later process when a journal knows the session. What was
// learned about the host stays in its Quirks (docs/decisions/004). Loop thread; everything outlives
// run(). Source: distribution-spec 1.1.1 "Pushing blobs", facts/oci.md A9.
#pragma once

#include <optional>
#include <string>

#include "content/content.h"
#include "remote/blob_stream.h"
#include "remote/endpoint.h"
#include "remote/upload_journal.h"

namespace berth::remote {

struct UploadSession {
  http::Url location;
  std::uint64_t min_chunk = 0;  // OCI-Chunk-Min-Length
};

// The session that a 202 opened.
Result<UploadSession> session_of(const Endpoint& endpoint, const Answer& answer);
// `query` for a mount: "mount=…&from=…".
Call upload_call(const Endpoint& endpoint, const std::string& repository, std::string query,
                 std::string doing);

class Upload {
 public:
  struct Settings {
    std::string repository;
    std::string doing;  // "cannot push docker.io/ai/x"
    std::uint64_t chunk_bytes = 0;
    RetrySettings retry;
    std::chrono::milliseconds first_byte{30'000};
    Throttles throttles = {};
    UploadJournal* journal = nullptr;
    std::uint64_t journal_from = 0;  // blobs of at least this size are journalled
  };
  Upload(Endpoint& endpoint, oci::Descriptor blob, content::Fetcher& from,
         content::Progress& progress, Settings settings);

  // `session`: one that a mount left open.
  rt::Task<Status> run(rt::Op& op, std::optional<UploadSession> session);

 private:
  enum class Step {
    kDone,
    kAgain,     // failed in a way that going on or a new session may mend; `failure_` says how
    kOtherWay,  // the host does not take it this way
  };
  enum class Way { kPut, kStream, kChunks };

  rt::Task<Status> claim(rt::Op& op);
  rt::Task<Status> until_done(rt::Op& op);
  rt::Task<Result<Step>> next(rt::Op& op);
  rt::Task<Result<UploadSession>> open(rt::Op& op);
  Way way() const;
  rt::Task<Result<Step>> send(rt::Op& op);
  rt::Task<Result<Step>> put_whole(rt::Op& op);
  rt::Task<Result<Step>> patch_rest(rt::Op& op);
  // Sends `length` bytes from held_ on; on success held_ and the location move on.
  rt::Task<Result<Step>> patch(rt::Op& op, std::uint64_t length);
  rt::Task<Result<Step>> patched(rt::Op& op, Answer answer, std::uint64_t length);
  rt::Task<Result<Step>> patch_refused(rt::Op& op, Answer answer, std::uint64_t length);
  rt::Task<Result<Step>> finish(rt::Op& op);
  rt::Task<Result<Step>> closed(rt::Op& op, Answer answer);
  rt::Task<Result<Step>> failed(rt::Op& op, Result<Answer> outcome);
  enum class Seen {
    kState,    // held_ and session_ are what the registry says; no session when it has lost it
    kNothing,  // it gave no answer
    kBlob,     // it has the whole blob already
  };
  // Asks the session how far the registry is.
  rt::Task<Result<Seen>> look(rt::Op& op);
  rt::Task<Result<Seen>> lost(rt::Op& op);
  // What the registry says that it holds; nullopt for nonsense.
  std::optional<std::uint64_t> believable(const http::Headers& headers) const;
  void lose_session();
  bool change_way();
  rt::Task<Result<bool>> is_there(rt::Op& op);
  rt::Task<void> note(rt::Op& op);

  Call closing_call();
  std::uint64_t chunk_length() const;
  Call call(std::string method, http::Url url);
  void report(content::Event::Kind kind, std::uint64_t current, std::string message = "");

  Endpoint& endpoint_;
  oci::Descriptor blob_;
  content::Progress& progress_;
  Settings settings_;
  BlobBody body_;
  std::unique_ptr<UploadClaim> claim_;
  std::optional<UploadSession> session_;
  std::uint64_t held_ = 0;   // what the registry acknowledged of this session
  std::uint64_t given_ = 0;  // the most that it may have of this session
  bool unsure_ = false;      // something went wrong since: the registry knows how far it is
  bool continued_ = false;   // what is held is the registry's word
  bool distrusted_ = false;  // and that word was wrong once
  bool put_refused_ = false;
  bool patch_refused_ = false;
  std::optional<Error> failure_;
};

}  // namespace berth::remote
