// Brings one blob into a registry: an upload session and one of the two ways to fill it.
//
// A single streamed PUT is the way that works with most registries; chunks (PATCH with
// Content-Range) are for those that refused it. What was learned about the host stays in its
// Quirks. Loop thread; everything outlives run(). Source: distribution-spec 1.1.1 "Pushing blobs",
// facts/oci.md A9.
#pragma once

#include <optional>
#include <string>

#include "content/content.h"
#include "remote/blob_stream.h"
#include "remote/endpoint.h"

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
  };
  Upload(Endpoint& endpoint, oci::Descriptor blob, content::Fetcher& from,
         content::Progress& progress, Settings settings);

  // `session`: one that a mount left open.
  rt::Task<Status> run(rt::Op& op, std::optional<UploadSession> session);

 private:
  enum class Step {
    kDone,
    kAgain,     // failed in a way that a new session may mend; `failure_` says how
    kOtherWay,  // the host does not take it this way
  };
  rt::Task<Result<UploadSession>> open(rt::Op& op);
  rt::Task<Result<Step>> whole(rt::Op& op, UploadSession session);
  rt::Task<Result<Step>> in_chunks(rt::Op& op, UploadSession session);
  // Sends the chunk at held_; on success held_ and location move on.
  rt::Task<Result<Step>> chunk(rt::Op& op, UploadSession& session);
  // Asks the session how far it is after a chunk went wrong.
  rt::Task<Result<Step>> ask_status(rt::Op& op, UploadSession& session);
  rt::Task<Result<Step>> finish(rt::Op& op, UploadSession session);
  rt::Task<Result<Step>> closed(rt::Op& op, Answer answer);
  rt::Task<Result<Step>> failed(rt::Op& op, Result<Answer> outcome);
  rt::Task<Result<bool>> is_there(rt::Op& op);
  Call call(std::string method, http::Url url) const;
  void report(content::Event::Kind kind, std::uint64_t current, std::string message = "");

  Endpoint& endpoint_;
  oci::Descriptor blob_;
  content::Progress& progress_;
  Settings settings_;
  BlobBody body_;
  std::uint64_t held_ = 0;  // chunks: what the registry acknowledged
  std::optional<Error> failure_;
};

}  // namespace berth::remote
