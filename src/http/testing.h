// What the tests of http share: whole exchanges as values, and Readers with a script. Header-only,
// tests only.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <utility>

#include "http/message.h"
#include "rt/async.h"

namespace berth::http {

struct Fetched {
  int status = 0;
  Headers headers;
  std::string body;
};

inline Request request_to(const Url& url, std::string method = "GET", Body body = {}) {
  return {.method = std::move(method), .url = url, .headers = {}, .body = std::move(body)};
}

inline rt::Task<Result<Fetched>> fetch(rt::Op& op, Service& service, Request request) {
  CO_TRY(Response response, co_await service.handle(op, std::move(request)));
  Fetched fetched{.status = response.status, .headers = response.headers, .body = {}};
  CO_TRY(fetched.body, co_await read_all(op, std::move(response.body), 1ULL << 30));
  co_return fetched;
}

// Runs one exchange on a loop of the test.
inline Result<Fetched> fetch_now(rt::Loop& loop, Service& service, Request request) {
  rt::Op op("test");
  return loop.run(fetch(op, service, std::move(request)));
}

// A body that can be told from every shifted or shortened one.
inline std::string pattern_text(std::size_t size, std::uint64_t seed = 1) {
  std::string text(size, '\0');
  std::uint64_t state = seed;
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    std::memcpy(text.data() + i, &state, 8);
  }
  return text;
}

// Gives `text` in pieces of at most `piece` bytes.
class TextReader : public Reader {
 public:
  TextReader(std::string text, std::size_t piece) : text_(std::move(text)), piece_(piece) {}
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    CO_TRY_OK(op.check());
    const std::size_t n = std::min({into.size(), piece_, text_.size() - at_});
    std::memcpy(into.data(), text_.data() + at_, n);
    at_ += n;
    co_return n;
  }

 private:
  std::string text_;
  std::size_t piece_;
  std::size_t at_ = 0;
};

// Gives `text` once and then nothing until its Op ends; `ended` is notified by its destruction.
class EndlessReader : public Reader {
 public:
  EndlessReader(std::string text, std::function<void(bool cancelled)> on_end)
      : text_(std::move(text)), on_end_(std::move(on_end)) {}
  ~EndlessReader() override { on_end_(cancelled_); }
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    if (!text_.empty()) {
      const std::size_t n = std::min(into.size(), text_.size());
      std::memcpy(into.data(), text_.data(), n);
      text_.erase(0, n);
      co_return n;
    }
    const Status slept = co_await rt::sleep_until(op, rt::SteadyTime::max());
    cancelled_ = true;
    co_return std::unexpected(slept.error());
  }

 private:
  std::string text_;
  std::function<void(bool)> on_end_;
  bool cancelled_ = false;
};

}  // namespace berth::http
