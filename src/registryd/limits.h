// How much one client may ask for: requests by a bucket of tokens, and uploads that are in
// progress.
//
// Loop thread, pure but for the time that is passed in. A client is a user's name, or the address
// of somebody who is not known. What is remembered is bounded: of more clients than kClients, and
// of more uploads than kUploads, those are forgotten who were not heard of for longest.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/error.h"
#include "rt/op.h"

namespace berth::registryd {

struct ClientLimits {
  std::uint64_t requests = 0;  // a second, with a burst of kBurst seconds' worth; 0: any
  std::uint64_t uploads = 0;   // in progress; 0: any
};

class Limits {
 public:
  static constexpr std::size_t kClients = 10'000;
  static constexpr std::size_t kUploads = 20'000;
  static constexpr std::uint64_t kBurst = 10;
  // An upload that nobody went on with for so long no longer counts: whoever died in the middle of
  // one must not be kept out until it expires.
  static constexpr std::chrono::minutes kIdle{10};

  explicit Limits(ClientLimits limits) : limits_(limits) {}

  // Whether a client can send its request again. Most cannot when it has a body that they stream,
  // so those may take as much as a burst in advance.
  enum class Repeat { kPossible, kHard };
  // One request more. kRateLimited with the time after which another one may come.
  Status take_request(const std::string& client, rt::SteadyTime now,
                      Repeat repeat = Repeat::kPossible);
  // Without taking anything.
  Status check_requests(const std::string& client, rt::SteadyTime now,
                        Repeat repeat = Repeat::kPossible);

  // Whether one more upload may begin; kRateLimited.
  Status check_uploads(const std::string& client, rt::SteadyTime now);
  // By its id, which is new.
  void upload_began(const std::string& client, const std::string& id, rt::SteadyTime now);
  void upload_goes_on(std::string_view id, rt::SteadyTime now);
  void upload_ended(std::string_view id);

  std::size_t clients() const { return by_name_.size(); }
  std::size_t uploads() const { return owners_.size(); }

 private:
  struct Client {
    std::string name;
    double tokens = 0;
    rt::SteadyTime filled{};
    std::map<std::string, rt::SteadyTime, std::less<>> uploads;  // by id: last heard of
  };
  Client& client_of(const std::string& name, rt::SteadyTime now);
  void fill(Client& client, rt::SteadyTime now) const;
  void forget_idle(Client& client, rt::SteadyTime now);
  void forget_uploads(Client& client);
  void make_room_for_upload();

  ClientLimits limits_;
  std::list<Client> clients_;  // the one heard of last first
  std::unordered_map<std::string_view, std::list<Client>::iterator> by_name_;
  std::map<std::string, std::string, std::less<>> owners_;  // of uploads
};

}  // namespace berth::registryd
