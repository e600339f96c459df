// The body of a request on its way into curl's read callback. Private to http.
//
// The callback must not wait: a string and a file in the page cache are copied at once; what has to
// be waited for (a Reader, a cold file) is fetched by refill(), for which the callback pauses the
// transfer.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "http/message.h"
#include "rt/loop.h"

namespace berth::http {

class Upload {
 public:
  Upload(rt::Loop& loop, Body body);

  // Nothing to send at all.
  bool empty() const { return length_ == 0; }
  std::optional<std::uint64_t> length() const { return length_; }
  bool ended() const { return ended_ || length_ == 0; }
  // The callback came and found nothing: refill, then let the transfer go on.
  bool wants_data() const { return wants_data_; }

  // Copies the next bytes; 0 at the end, nullopt when they have to be fetched first.
  std::optional<std::size_t> take(MutableBytes into);
  // From the start again, when curl has to repeat the request on its own (a kept connection was
  // dead); false when anything but a text has begun to go: what became of it is not known here, and
  // an upload that is sent twice into one session is spoilt.
  bool rewind(std::uint64_t offset);
  rt::Task<Status> refill(rt::Op& op);

 private:
  std::optional<std::size_t> take_file(const FileRange& range, MutableBytes into);
  std::optional<std::size_t> take_staged(MutableBytes into);
  rt::Task<Result<std::size_t>> refill_file(const FileRange& range);
  std::size_t counted(std::size_t n);

  rt::Loop& loop_;
  Body body_;
  std::optional<std::uint64_t> length_;
  std::uint64_t at_ = 0;
  std::vector<std::byte> staged_;
  std::size_t staged_begin_ = 0;
  std::size_t staged_end_ = 0;
  bool source_ended_ = false;
  bool wants_data_ = false;
  bool ended_ = false;
};

}  // namespace berth::http
