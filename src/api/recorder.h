// Recorded prompts and answers, only when turned on: the last ten of each model, in memory. Private
// to api.
//
// Loop thread. Everything is bounded: records a model, models, bytes of a body. Source: facts 2.3,
// GET /engines/requests.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "json/json.h"
#include "rt/async.h"
#include "rt/reader.h"

namespace berth::api {

struct Record {
  std::string id;
  std::string model;  // as the caller named it
  std::string method;
  std::string url;
  std::string request;
  std::string response;
  std::string error;
  std::chrono::sys_seconds time{};
  int status = 0;
  std::string user_agent;
  std::string origin;
};

class Recorder {
 public:
  explicit Recorder(rt::Loop& loop) : news_(loop) {}

  static constexpr std::size_t kPerModel = 10;
  static constexpr std::size_t kModels = 64;
  static constexpr std::size_t kMaxBody = 256 * 1024;

  bool enabled() const { return enabled_; }
  // Turning it off forgets everything.
  void enable(bool on);
  // Keeps the record; bodies are cut to the bound.
  void add(std::string model, Record record);
  // DMR's array; `model` "" for all.
  json::Array list(const std::string& model) const;

  enum class Existing { kSkip, kInclude };
  // Server-sent events until the reader goes. The Recorder outlives it.
  std::unique_ptr<rt::Reader> follow(std::string model, Existing existing);
  // The server stops: those that follow get their end.
  void end_following();

 private:
  class Follower;
  struct Kept {
    std::uint64_t number;
    Record record;
  };
  std::string events_since(const std::string& model, std::uint64_t number,
                           std::uint64_t existing_until) const;

  bool enabled_ = false;
  bool ended_ = false;
  std::uint64_t next_ = 1;
  std::map<std::string, std::deque<Kept>> models_;
  rt::Event news_;
};

}  // namespace berth::api
