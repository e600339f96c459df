// berth_load: the client side of tests/bench/registry.py: HTTP/1.1 with keep-alive, cheap enough
// not to be what is measured.
//
//   berth_load rate --to HOST:PORT --path PATH [--method GET|HEAD] [--connections N] [--seconds S]
//   berth_load script --to HOST:PORT --script FILE --data FILE [--limit S] [--syncfs FOLDER]
//   berth_load null      a server that answers at once and keeps nothing; prints its port
//
// rate sends one request again and again: one thread, epoll. script runs the streams of FILE at
// once, each with a connection and a thread of its own:
//
//   stream                                         the next ones are another stream's
//   blob REPOSITORY DIGEST OFFSET LENGTH CHUNK     POST, PATCH of CHUNK bytes each (0: none), PUT
//   manifest REPOSITORY REFERENCE OFFSET LENGTH    PUT
//   get PATH, head PATH
//
// Bodies are pieces of the data file, sent by sendfile; what is received is dropped by the kernel
// (MSG_TRUNC) and only counted. Nothing is verified here. One line of JSON tells the outcome;
// sync_seconds is what syncfs of FOLDER took after the last answer.
#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <latch>
#include <map>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kBuffer = 256 << 10;
constexpr std::uint64_t kAtOnce = 8 << 20;  // of a body that is dropped
constexpr auto kWarmUp = std::chrono::milliseconds(200);
constexpr std::string_view kAccept =
    "Accept: application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.oci.image.index.v1+json\r\n";

[[noreturn]] void die(const std::string& sentence) {
  std::fprintf(stderr, "berth_load: %s\n", sentence.c_str());
  std::exit(1);
}

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    die("\"" + std::string(text) + "\" is no number");
  return value;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

using Options = std::map<std::string, std::string, std::less<>>;

std::string option(const Options& options, std::string_view name,
                   std::optional<std::string> otherwise = std::nullopt) {
  const auto found = options.find(name);
  if (found != options.end()) return found->second;
  if (!otherwise) die("--" + std::string(name) + " is missing");
  return *otherwise;
}

// --- one answer, as it comes

std::optional<std::string_view> field(std::string_view head, std::string_view name) {
  for (std::size_t at = head.find("\r\n"); at != std::string_view::npos;
       at = head.find("\r\n", at)) {
    at += 2;
    const std::string_view line = head.substr(at, head.find("\r\n", at) - at);
    if (line.size() <= name.size() || line[name.size()] != ':') continue;
    if (::strncasecmp(line.data(), name.data(), name.size()) != 0) continue;
    const std::size_t value = line.find_first_not_of(' ', name.size() + 1);
    return value == std::string_view::npos ? std::string_view() : line.substr(value);
  }
  return std::nullopt;
}

class Answer {
 public:
  explicit Answer(bool bodiless = false) : bodiless_(bodiless) {}

  // What it did not want of `bytes` is none of ours: there is no pipelining.
  void feed(std::string_view bytes) {
    if (!headed_) {
      const std::size_t before = head_.size();
      head_.append(bytes);
      const std::size_t end = head_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
      if (end == std::string::npos) return;
      bytes.remove_prefix(end + 4 - before);
      head_.resize(end + 2);
      read_head();
    }
    if (chunked_) return feed_chunks(bytes);
    drop(std::min<std::uint64_t>(bytes.size(), left_));
  }
  void drop(std::uint64_t count) {
    left_ -= count;
    received_ += count;
    done_ = headed_ && left_ == 0;
  }

  bool done() const { return done_; }
  int status() const { return status_; }
  bool closes() const { return closes_; }
  const std::string& head() const { return head_; }
  std::uint64_t received() const { return received_; }
  // So many bytes are still to come and need not be looked at.
  std::uint64_t droppable() const { return headed_ && !chunked_ ? left_ : 0; }

 private:
  void read_head() {
    headed_ = true;
    if (head_.size() > 12) status_ = std::atoi(head_.c_str() + 9);
    const auto connection = field(head_, "Connection");
    closes_ = connection && ::strncasecmp(connection->data(), "close", 5) == 0;
    if (bodiless_ || status_ == 204 || status_ == 304) {
      done_ = true;
      return;
    }
    if (const auto length = field(head_, "Content-Length")) {
      left_ = number(*length);
    } else {
      chunked_ = field(head_, "Transfer-Encoding").has_value();
    }
  }
  // A chunk is its size, its bytes and an end of line; the last has none.
  void feed_chunks(std::string_view bytes) {
    while (!bytes.empty() && !done_) {
      if (left_ > 0) {
        const std::size_t count = std::min<std::uint64_t>(left_, bytes.size());
        bytes.remove_prefix(count);
        left_ -= count;
        received_ += count;
        continue;
      }
      line_.push_back(bytes.front());
      bytes.remove_prefix(1);
      if (!line_.ends_with("\r\n")) continue;
      if (last_) done_ = line_ == "\r\n";
      if (!last_ && line_ != "\r\n") {
        left_ = std::strtoull(line_.c_str(), nullptr, 16);
        last_ = left_ == 0;
      }
      line_.clear();
    }
  }

  bool bodiless_ = false;
  bool headed_ = false;
  bool done_ = false;
  bool chunked_ = false;
  bool last_ = false;
  bool closes_ = false;
  int status_ = 0;
  std::uint64_t left_ = 0;
  std::uint64_t received_ = 0;
  std::string head_;
  std::string line_;
};

// --- what was done

struct Outcome {
  std::vector<std::uint32_t> micros;  // of each request
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  std::uint64_t errors = 0;
  std::string first_error;

  void fail(std::string text) {
    if (errors++ == 0) first_error = std::move(text);
  }
  void add(const Outcome& other) {
    micros.insert(micros.end(), other.micros.begin(), other.micros.end());
    sent += other.sent;
    received += other.received;
    if (errors == 0) first_error = other.first_error;
    errors += other.errors;
  }
};

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 200))
    out += c < ' ' || c == '"' || c == '\\' || c > '~' ? '.' : c;
  return out;
}

void print(Outcome outcome, double seconds, double sync_seconds, bool cut) {
  std::vector<std::uint32_t>& all = outcome.micros;
  std::ranges::sort(all);
  const auto at = [&all](double share) {
    if (all.empty()) return 0.0;
    return all[static_cast<std::size_t>(share * static_cast<double>(all.size() - 1))] / 1e3;
  };
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto time = [](const timeval& value) {
    return static_cast<double>(value.tv_sec) + static_cast<double>(value.tv_usec) / 1e6;
  };
  std::printf(
      "{\"requests\":%zu,\"seconds\":%.6f,\"sync_seconds\":%.6f,\"rps\":%.1f,\"p50_ms\":%.3f,"
      "\"p99_ms\":%.3f,\"sent\":%llu,\"received\":%llu,\"errors\":%llu,\"cut\":%s,"
      "\"cpu_seconds\":%.3f,\"first_error\":\"%s\"}\n",
      all.size(), seconds, sync_seconds, static_cast<double>(all.size()) / seconds, at(0.5),
      at(0.99), static_cast<unsigned long long>(outcome.sent),
      static_cast<unsigned long long>(outcome.received),
      static_cast<unsigned long long>(outcome.errors), cut ? "true" : "false",
      time(usage.ru_utime) + time(usage.ru_stime), escaped(outcome.first_error).c_str());
}

std::uint32_t micros_since(Clock::time_point start) {
  return static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count());
}

// --- connections

sockaddr_in address_of(std::string_view host_port) {
  const std::size_t colon = host_port.rfind(':');
  if (colon == std::string_view::npos) die("--to wants HOST:PORT");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(number(host_port.substr(colon + 1))));
  if (::inet_pton(AF_INET, std::string(host_port.substr(0, colon)).c_str(), &address.sin_addr) != 1)
    die("--to wants a numeric address");
  return address;
}

int connect_to(const sockaddr_in& address) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    die(std::string("cannot connect: ") + std::strerror(errno));
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

bool send_all(int fd, std::string_view bytes, int flags = 0) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(fd, bytes.data(), bytes.size(), flags | MSG_NOSIGNAL);
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

// --- rate

struct Line {
  int fd = -1;
  Answer answer;
  Clock::time_point asked;
};

class Rate {
 public:
  explicit Rate(const Options& options)
      : address_(address_of(option(options, "to"))),
        method_(option(options, "method", "GET")),
        seconds_(std::atof(option(options, "seconds", "2").c_str())),
        request_(method_ + " " + option(options, "path") + " HTTP/1.1\r\nHost: " +
                 option(options, "to") + "\r\n" + std::string(kAccept) + "\r\n"),
        lines_(number(option(options, "connections", "1"))) {}

  void run() {
    for (Line& line : lines_) line.fd = connect_to(address_);
    counted_from_ = Clock::now() + kWarmUp;
    until_ = counted_from_ +
             std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds_));
    for (Line& line : lines_) ask(line);
    if (lines_.size() == 1) {
      while (open_ > 0) hear(lines_[0]);
    } else {
      wait_for_all();
    }
    print(std::move(outcome_), seconds_since(counted_from_), 0, false);
  }

 private:
  void ask(Line& line) {
    line.answer = Answer(method_ == "HEAD");
    line.asked = Clock::now();
    if (!send_all(line.fd, request_)) die("the server closed a connection");
    ++open_;
  }
  void hear(Line& line) {
    const ssize_t count = ::recv(line.fd, buffer_.data(), buffer_.size(), 0);
    if (count <= 0) die("the server closed a connection");
    line.answer.feed({buffer_.data(), static_cast<std::size_t>(count)});
    if (!line.answer.done()) return;
    --open_;
    const auto now = Clock::now();
    if (line.asked >= counted_from_) {
      outcome_.micros.push_back(micros_since(line.asked));
      outcome_.received += line.answer.received();
    }
    if (line.answer.status() != 200) outcome_.fail(line.answer.head());
    if (line.answer.closes()) {
      ::close(line.fd);
      line.fd = connect_to(address_);
    }
    if (now < until_) ask(line);
  }
  void wait_for_all() {
    const int poll = ::epoll_create1(EPOLL_CLOEXEC);
    for (Line& line : lines_) {
      epoll_event event{.events = EPOLLIN, .data = {.ptr = &line}};
      ::epoll_ctl(poll, EPOLL_CTL_ADD, line.fd, &event);
    }
    std::array<epoll_event, 64> events{};
    while (open_ > 0) {
      const int count = ::epoll_wait(poll, events.data(), static_cast<int>(events.size()), 10'000);
      if (count <= 0) die("no answer for ten seconds");
      for (int i = 0; i < count; ++i)
        hear(*static_cast<Line*>(events[static_cast<std::size_t>(i)].data.ptr));
    }
    ::close(poll);
  }

  sockaddr_in address_;
  std::string method_;
  double seconds_;
  std::string request_;
  std::vector<Line> lines_;
  std::size_t open_ = 0;
  Clock::time_point counted_from_;
  Clock::time_point until_;
  Outcome outcome_;
  std::vector<char> buffer_ = std::vector<char>(kBuffer);
};

// --- script

struct Step {
  std::string verb;
  std::string repository;  // or the path
  std::string reference;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t chunk = 0;
};
using Stream = std::vector<Step>;

std::vector<Stream> read_script(const std::string& name) {
  std::ifstream file(name);
  if (!file) die("cannot read " + name);
  std::vector<Stream> streams;
  for (std::string text; std::getline(file, text);) {
    std::istringstream words(text);
    Step step;
    words >> step.verb;
    if (step.verb == "stream") {
      streams.emplace_back();
      continue;
    }
    words >> step.repository;
    if (step.verb == "blob" || step.verb == "manifest")
      words >> step.reference >> step.offset >> step.length;
    if (step.verb == "blob") words >> step.chunk;
    if (!words || streams.empty()) die("the script has a line that is none: " + text);
    streams.back().push_back(std::move(step));
  }
  return streams;
}

struct Body {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

class Client {
 public:
  Client(const std::string& to, int data)
      : address_(address_of(to)), host_(to), data_(data), fd_(connect_to(address_)) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { ::close(fd_); }

  void run(const Step& step) {
    if (step.verb == "blob") return push_blob(step);
    if (step.verb == "manifest") {
      request("PUT", "/v2/" + step.repository + "/manifests/" + step.reference,
              Body{step.offset, step.length},
              "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n", 201);
      return;
    }
    request(step.verb == "head" ? "HEAD" : "GET", step.repository, std::nullopt, kAccept, 200);
  }
  Outcome& outcome() { return outcome_; }

 private:
  void push_blob(const Step& step) {
    if (!request("POST", "/v2/" + step.repository + "/blobs/uploads/", Body{}, {}, 202)) return;
    Body rest{step.offset, step.length};
    while (step.chunk > 0 && rest.length > 0) {
      const Body piece{rest.offset, std::min(step.chunk, rest.length)};
      const std::uint64_t at = piece.offset - step.offset;
      const std::string range =
          "Content-Type: application/octet-stream\r\nContent-Range: " + std::to_string(at) + "-" +
          std::to_string(at + piece.length - 1) + "\r\n";
      if (!request("PATCH", location_, piece, range, 202)) return;
      rest = {piece.offset + piece.length, rest.length - piece.length};
    }
    const char* mark = location_.find('?') == std::string::npos ? "?" : "&";
    request("PUT", location_ + mark + "digest=" + step.reference, rest,
            "Content-Type: application/octet-stream\r\n", 201);
  }

  bool request(std::string_view method, const std::string& path, std::optional<Body> body,
               std::string_view headers, int expected) {
    std::string head(method);
    head.append(" ")
        .append(path)
        .append(" HTTP/1.1\r\nHost: ")
        .append(host_)
        .append("\r\n")
        .append(headers);
    if (body) head.append("Content-Length: ").append(std::to_string(body->length)).append("\r\n");
    head.append("\r\n");
    const auto start = Clock::now();
    Answer answer(method == "HEAD");
    const bool whole = send(head, body.value_or(Body{})) && receive(answer);
    outcome_.micros.push_back(micros_since(start));
    outcome_.received += answer.received();
    const bool fine = whole && answer.status() == expected;
    if (!fine)
      outcome_.fail(std::string(method) + " " + path + ": " + (whole ? answer.head() : "cut off"));
    if (!whole || answer.closes()) {
      ::close(fd_);
      fd_ = connect_to(address_);
    }
    if (const auto location = field(answer.head(), "Location")) location_ = path_of(*location);
    return fine;
  }
  static std::string path_of(std::string_view location) {
    const std::size_t scheme = location.find("://");
    if (scheme == std::string_view::npos) return std::string(location);
    return std::string(location.substr(location.find('/', scheme + 3)));
  }
  bool send(std::string_view head, Body body) {
    if (!send_all(fd_, head, body.length > 0 ? MSG_MORE : 0)) return false;
    auto offset = static_cast<off_t>(body.offset);
    for (std::uint64_t left = body.length; left > 0;) {
      const ssize_t count = ::sendfile(fd_, data_, &offset, left);
      if (count <= 0) return false;
      left -= static_cast<std::uint64_t>(count);
    }
    outcome_.sent += body.length;
    return true;
  }
  bool receive(Answer& answer) {
    while (!answer.done()) {
      const std::uint64_t droppable = answer.droppable();
      const ssize_t count = droppable > 0
                                ? ::recv(fd_, nullptr, std::min(droppable, kAtOnce), MSG_TRUNC)
                                : ::recv(fd_, buffer_.data(), buffer_.size(), 0);
      if (count <= 0) return false;
      if (droppable > 0) {
        answer.drop(static_cast<std::uint64_t>(count));
      } else {
        answer.feed({buffer_.data(), static_cast<std::size_t>(count)});
      }
    }
    return true;
  }

  sockaddr_in address_;
  std::string host_;
  int data_;
  int fd_;
  std::string location_;
  Outcome outcome_;
  std::vector<char> buffer_ = std::vector<char>(16 << 10);
};

double sync_folder(const std::string& folder) {
  if (folder.empty()) return 0;
  const auto start = Clock::now();
  const int fd = ::open(folder.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || ::syncfs(fd) != 0) die("cannot sync " + folder);
  ::close(fd);
  return seconds_since(start);
}

void run_script(const Options& options) {
  const auto streams = read_script(option(options, "script"));
  const int data = ::open(option(options, "data", "/dev/null").c_str(), O_RDONLY | O_CLOEXEC);
  if (data < 0) die("cannot read " + option(options, "data"));
  const double limit = std::atof(option(options, "limit", "0").c_str());
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < streams.size(); ++i)
    clients.push_back(std::make_unique<Client>(option(options, "to"), data));
  std::latch ready(1);
  std::atomic<bool> cut = false;
  Clock::time_point start;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    threads.emplace_back([&, i] {
      ready.wait();
      for (const Step& step : streams[i]) {
        if (limit > 0 && seconds_since(start) > limit) {
          cut = true;
          return;
        }
        clients[i]->run(step);
      }
    });
  }
  start = Clock::now();
  ready.count_down();
  for (std::thread& thread : threads) thread.join();
  const double seconds = seconds_since(start);
  const double sync_seconds = sync_folder(option(options, "syncfs", ""));
  Outcome sum;
  for (const auto& client : clients) sum.add(client->outcome());
  print(std::move(sum), seconds, sync_seconds, cut);
}

// --- null

struct Peer {
  int fd = -1;
  std::string head;
  std::uint64_t left = 0;  // of the body
};

std::string null_answer(std::string_view head) {
  if (head.starts_with("POST") || head.starts_with("PATCH"))
    return "HTTP/1.1 202 Accepted\r\nLocation: /v2/null/blobs/uploads/1\r\nContent-Length: "
           "0\r\n\r\n";
  if (head.starts_with("PUT")) return "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
  const std::string two = "HTTP/1.1 200 OK\r\nContent-Length: 2048\r\n\r\n";
  return head.starts_with("HEAD") ? two : two + std::string(2048, 'x');
}

bool serve_null(Peer& peer, std::span<char> buffer) {
  ssize_t count = 0;
  if (peer.left > 0) {
    count = ::recv(peer.fd, nullptr, std::min(peer.left, kAtOnce), MSG_TRUNC);
    if (count > 0) peer.left -= static_cast<std::uint64_t>(count);
  } else {
    count = ::recv(peer.fd, buffer.data(), buffer.size(), 0);
    if (count > 0) peer.head.append(buffer.data(), static_cast<std::size_t>(count));
    const std::size_t end = peer.head.find("\r\n\r\n");
    if (count > 0 && end == std::string::npos) return true;
    if (count > 0) {
      const std::uint64_t length = number(field(peer.head, "Content-Length").value_or("0"));
      peer.left = length - std::min<std::uint64_t>(length, peer.head.size() - end - 4);
    }
  }
  if (count <= 0) return false;
  if (peer.left > 0) return true;
  const bool sent = send_all(peer.fd, null_answer(peer.head));
  peer.head.clear();
  return sent;
}

[[noreturn]] void run_null() {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener, 128) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    die(std::string("cannot listen: ") + std::strerror(errno));
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  ::epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  std::vector<char> buffer(kBuffer);
  std::array<epoll_event, 64> events{};
  for (;;) {
    const int count = ::epoll_wait(poll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      auto* peer = static_cast<Peer*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (peer == nullptr) {
        auto* fresh = new Peer{.fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)};
        const int on = 1;
        ::setsockopt(fresh->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        event.data.ptr = fresh;
        ::epoll_ctl(poll, EPOLL_CTL_ADD, fresh->fd, &event);
      } else if (!serve_null(*peer, buffer)) {
        ::close(peer->fd);
        delete peer;
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  Options options;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (!name.starts_with("--")) die("\"" + std::string(name) + "\" is no flag");
    options.insert_or_assign(std::string(name.substr(2)), argv[i + 1]);
  }
  if (command == "rate") {
    Rate(options).run();
  } else if (command == "script") {
    run_script(options);
  } else if (command == "null") {
    run_null();
  } else {
    die("usage: berth_load rate|script|null ...; see tests/bench/load.cc");
  }
  return 0;
}
