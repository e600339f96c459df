// One registry host as something that answers calls: authorization, redirects and retries are done
// here, so that the code above sees final answers only. Loop thread. Owned by RegistryCore.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "content/lanes.h"
#include "remote/authorizer.h"
#include "remote/quirks.h"
#include "remote/throttle.h"
#include "remote/wire.h"

namespace berth::remote {

// A request body that can be made again for each try.
struct BodySource {
  virtual ~BodySource() = default;
  virtual rt::Task<Result<http::Body>> open(rt::Op& op) = 0;
  // False when so much of it has gone that the registry is better asked how far it is.
  virtual bool may_repeat() const { return true; }
};

class TextBody : public BodySource {
 public:
  explicit TextBody(std::string text) : text_(std::move(text)) {}
  rt::Task<Result<http::Body>> open(rt::Op& op) override;

 private:
  std::string text_;
};

enum class Tries {
  kSeveral,  // the request may be repeated
  kOnce,     // a failure is the caller's to mend (bodies that are streamed into a session)
};

struct Call {
  std::string doing;  // "cannot push ai/x", for messages
  std::string method = "GET";
  http::Url url;
  http::Headers headers = {};
  BodySource* body = nullptr;  // outlives the call
  std::string repository = {};
  ScopeSet scopes = {};
  Tries tries = Tries::kSeveral;
  std::function<void(const std::string&)> on_wait =
      {};  // told what is waited for when that takes more than a second
  std::optional<std::chrono::milliseconds> first_byte =
      {};  // where the registry has much to do before it answers
};

struct Answer {
  http::Response response;
  http::Url url;            // that gave it: the base of a relative Location
  bool authorized = false;  // an Authorization was sent
  bool renewed = false;     // a 401 to a body that was not repeated: the login is fresh now

  int status() const { return response.status; }
};

class Endpoint {
 public:
  struct Settings {
    std::string registry;         // as the user calls it
    http::Url base;               // its path is a prefix of /v2
    std::string source_registry;  // of a mirror: whose content is asked for (?ns=); "" otherwise
    std::vector<std::pair<std::string, Secret>> headers = {};  // for this origin only
    std::vector<std::shared_ptr<Throttle>> throttles = {};
    std::size_t connections = 0;  // for downloads, at most
  };
  Endpoint(rt::Loop& loop, Settings settings, const RegistryOptions& options);

  const std::string& registry() const { return settings_.registry; }
  const Wire& wire() const { return wire_; }
  Quirks& quirks() { return quirks_; }
  // The connections to this host that move blobs.
  const std::shared_ptr<content::Lanes>& lanes() const { return lanes_; }
  // Keeps the quirks for later runs.
  rt::Task<void> remember_quirks(rt::Op& op);
  HostPause& pause() { return pause_; }
  // What keeps transfers with this host slow on purpose.
  const std::vector<std::shared_ptr<Throttle>>& throttles() const { return throttles_; }

  // base + "/v2/" + path; `path` is already encoded where it needs to be.
  http::Url url(std::string_view path, std::string query = "") const;

  // The answer after authorization, redirects and retries, whatever its status; a failure only when
  // none came.
  rt::Task<Result<Answer>> send(rt::Op& op, Call call);

  // The error that an unexpected answer means.
  rt::Task<Error> error(rt::Op& op, std::string doing, Answer answer) const;

 private:
  rt::Task<Status> wait_for_host(rt::Op& op, const Call& call);
  bool is_stale_place(const Call& call, const Answer& answer) const;
  rt::Task<Result<Answer>> send_authorized(rt::Op& op, const Call& call);
  rt::Task<Result<Answer>> send_following(rt::Op& op, const Call& call, Secret authorization);
  rt::Task<Result<http::Response>> send_once(rt::Op& op, const Call& call, http::Url url,
                                             std::string method, Secret authorization);

  Settings settings_;
  RetrySettings retry_;
  Wire wire_;
  Authorizer authorizer_;
  Quirks quirks_;
  HostMemory* memory_;
  HostPause pause_;
  std::vector<std::shared_ptr<Throttle>> throttles_;
  std::shared_ptr<content::Lanes> lanes_;
};

}  // namespace berth::remote
