#include "cli/output.h"

#include <cerrno>
#include <sys/ioctl.h>
#include <unistd.h>

namespace berth::cli {
namespace {

constexpr std::size_t kBuffer = 32 * 1024;

// The length that a UTF-8 lead byte announces; 1 for what is not one.
std::size_t sequence_length(unsigned char lead) {
  if (lead >= 0xf0 && lead < 0xf8) return 4;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  if (lead >= 0xc2 && lead < 0xe0) return 2;
  return 1;
}

bool is_whole(std::string_view sequence) {
  for (const char c : sequence.substr(1)) {
    if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) return false;
  }
  return true;
}

void append_escaped(std::string& out, unsigned char byte) { out += fmt::format("\\x{:02x}", byte); }

void append_single(std::string& out, char c) {
  const auto byte = static_cast<unsigned char>(c);
  if (c == '\n' || c == '\t' || (byte >= 0x20 && byte < 0x7f)) {
    out.push_back(c);
  } else {
    append_escaped(out, byte);
  }
}

// C1 controls (U+0080 to U+009F) are C2 80 to C2 9F: terminals may obey them.
bool is_c1(std::string_view sequence) {
  return sequence[0] == '\xc2' && static_cast<unsigned char>(sequence[1]) < 0xa0;
}

}  // namespace

void FdWriter::write(std::string_view text) {
  pending_.append(text);
  if (pending_.size() >= kBuffer) flush();
}

void FdWriter::flush() {
  std::string_view rest = pending_;
  while (!rest.empty() && error_ == 0) {
    const ssize_t n = ::write(fd_, rest.data(), rest.size());
    if (n >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno != EINTR) {
      error_ = errno;
    }
  }
  pending_.clear();
}

bool FdWriter::terminal() const { return ::isatty(fd_) == 1; }

unsigned FdWriter::width() const {
  winsize size{};
  if (::ioctl(fd_, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

Status FdWriter::status() const {
  if (error_ == 0) return {};
  if (error_ == EPIPE) return fail(Code::kCancelled, "the reader of the output went away");
  return fail_errno(error_, "cannot write the output");
}

std::string TerminalFilter::operator()(std::string_view text) {
  std::string input = std::exchange(partial_, {});
  input.append(text);
  std::string out;
  out.reserve(input.size());
  for (std::size_t i = 0; i < input.size();) {
    const std::size_t length = sequence_length(static_cast<unsigned char>(input[i]));
    const std::string_view sequence = std::string_view(input).substr(i, length);
    if (length == 1 || !is_whole(sequence)) {
      append_single(out, input[i++]);
    } else if (sequence.size() < length) {
      partial_ = sequence;
      break;
    } else {
      if (is_c1(sequence)) {
        append_escaped(out, static_cast<unsigned char>(sequence[1]));
      } else {
        out.append(sequence);
      }
      i += length;
    }
  }
  return out;
}

std::string TerminalFilter::finish() {
  std::string out;
  for (const char c : std::exchange(partial_, {})) append_single(out, c);
  return out;
}

}  // namespace berth::cli
