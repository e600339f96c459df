// berth_relay: a TCP relay that makes a loopback look like a link: each connection has a rate and a
// delay.
//
//   berth_relay --to HOST:PORT [--rate BYTES_PER_S] [--total-rate BYTES_PER_S] [--rtt MS]
//
// Prints the port that it listens on (127.0.0.1), then relays until SIGTERM or SIGINT. Rates hold
// for each direction; half of the round trip is the delay of each direction. On SIGUSR1 and at the
// end one line of JSON says what passed: {"connections":…,"open":…,"up":…,"down":…} (up: from the
// client to HOST). One thread, epoll; more than 500 MB/s over 16 connections.
#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <list>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using Seconds = std::chrono::duration<double>;

constexpr std::size_t kRing = 8 << 20;     // bytes on their way in one direction
constexpr std::size_t kPiece = 256 << 10;  // of one read
constexpr std::size_t kLeast = 16 << 10;   // fewer are not worth a call when a rate holds them
constexpr double kBurstSeconds = 0.05;     // what a busy machine may sleep without losing rate
constexpr int kLimitedBuffer = 1 << 20;    // of a socket, when a rate is to be felt early

[[noreturn]] void die(const std::string& sentence) {
  std::fprintf(stderr, "berth_relay: %s\n", sentence.c_str());
  std::exit(1);
}

struct Options {
  std::string host;
  std::string port;
  double rate = 0;  // 0: none
  double total_rate = 0;
  std::chrono::milliseconds rtt{0};
};

double number(std::string_view flag, std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0)
    die(std::string(flag) + " needs a number, not \"" + std::string(text) + "\"");
  return value;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int at = 1; at < argc; at += 2) {
    const std::string_view flag = argv[at];
    if (at + 1 == argc)
      die("usage: berth_relay --to HOST:PORT [--rate N] [--total-rate N] [--rtt MS]");
    const std::string_view value = argv[at + 1];
    if (flag == "--to") {
      const std::size_t colon = value.rfind(':');
      if (colon == std::string_view::npos) die("--to needs HOST:PORT");
      options.host = value.substr(0, colon);
      options.port = value.substr(colon + 1);
    } else if (flag == "--rate") {
      options.rate = number(flag, value);
    } else if (flag == "--total-rate") {
      options.total_rate = number(flag, value);
    } else if (flag == "--rtt") {
      options.rtt = std::chrono::milliseconds(static_cast<int>(number(flag, value)));
    } else {
      die("there is no flag " + std::string(flag));
    }
  }
  if (options.host.empty()) die("--to HOST:PORT is missing");
  return options;
}

// Bytes that may pass, by time.
class Bucket {
 public:
  explicit Bucket(double rate) : rate_(rate), tokens_(burst()), last_(Clock::now()) {}
  bool limits() const { return rate_ > 0; }
  double available(Time now) {
    tokens_ = std::min(burst(), tokens_ + rate_ * Seconds(now - last_).count());
    last_ = now;
    return tokens_;
  }
  void take(std::size_t bytes) { tokens_ -= static_cast<double>(bytes); }
  Time when(double wanted) const {
    const double missing = std::max(0.0, wanted - tokens_);
    return last_ + std::chrono::duration_cast<Clock::duration>(Seconds(missing / rate_));
  }

 private:
  double burst() const { return std::max(rate_ * kBurstSeconds, 2.0 * kLeast); }
  double rate_;
  double tokens_;
  Time last_;
};

struct Totals {
  std::uint64_t connections = 0;
  std::uint64_t open = 0;
  std::uint64_t up = 0;
  std::uint64_t down = 0;
};

// One end of a connection, with what epoll last said of it.
struct End {
  int fd = -1;
  bool readable = false;
  bool writable = false;
};

// Bytes on their way from one end to the other.
class Pipe {
 public:
  Pipe(End& from, End& to, const Options& options, Bucket& total, std::uint64_t& moved)
      : from_(from),
        to_(to),
        delay_(options.rtt / 2),
        own_(options.rate),
        total_(total),
        moved_(moved) {}

  // Does what can be done now. False when the connection has failed.
  bool pump(Time now) {
    for (bool moving = true; moving;) {
      const std::optional<bool> sent = send(now);
      const std::optional<bool> received = receive(now);
      if (!sent || !received) return false;
      moving = *sent || *received;
    }
    return true;
  }
  bool done() const { return finished_; }
  // When there is something to do without epoll saying so.
  Time next(Time now) const {
    Time at = Time::max();
    if (!pieces_.empty() && to_.writable) at = std::min(at, std::max(now, pieces_.front().due));
    if (held_back_) at = std::min(at, *held_back_);
    return at;
  }

 private:
  struct Piece {
    Time due;
    std::size_t left;  // 0: the end of the stream
  };

  std::optional<bool> send(Time now) {
    bool moved = false;
    while (!pieces_.empty() && to_.writable && pieces_.front().due <= now) {
      Piece& piece = pieces_.front();
      if (piece.left == 0) {
        ::shutdown(to_.fd, SHUT_WR);
        finished_ = true;
        pieces_.pop_front();
        return false;
      }
      const std::size_t most = std::min(piece.left, kRing - begin_);
      const ssize_t n = ::send(to_.fd, ring_.get() + begin_, most, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) {
        to_.writable = false;
        break;
      }
      if (n < 0) return std::nullopt;
      const auto count = static_cast<std::size_t>(n);
      begin_ = (begin_ + count) % kRing;
      size_ -= count;
      piece.left -= count;
      moved_ += count;
      moved = true;
      if (piece.left == 0) pieces_.pop_front();
    }
    return moved;
  }

  // How much may be read now; a wait is noted in held_back_.
  std::size_t allowance(Time now) {
    held_back_.reset();
    std::size_t most = std::min(kPiece, kRing - size_);
    for (Bucket* bucket : {&own_, &total_}) {
      if (!bucket->limits()) continue;
      const double available = bucket->available(now);
      if (available < static_cast<double>(kLeast)) {
        held_back_ = std::max(held_back_.value_or(now), bucket->when(kLeast));
        return 0;
      }
      most = std::min(most, static_cast<std::size_t>(available));
    }
    return most;
  }

  std::optional<bool> receive(Time now) {
    if (ended_ || !from_.readable || size_ == kRing) return false;
    const std::size_t allowed = allowance(now);
    if (allowed == 0) return false;
    const std::size_t end = (begin_ + size_) % kRing;
    const ssize_t n = ::recv(from_.fd, ring_.get() + end, std::min(allowed, kRing - end), 0);
    if (n < 0 && errno == EINTR) return true;
    if (n < 0 && errno == EAGAIN) {
      from_.readable = false;
      return false;
    }
    if (n < 0) return std::nullopt;
    const auto count = static_cast<std::size_t>(n);
    if (count == 0) ended_ = true;
    own_.take(count);
    total_.take(count);
    size_ += count;
    pieces_.push_back({.due = now + delay_, .left = count});
    return true;
  }

  End& from_;
  End& to_;
  Clock::duration delay_;
  Bucket own_;
  Bucket& total_;
  std::uint64_t& moved_;
  std::unique_ptr<char[]> ring_ = std::make_unique_for_overwrite<char[]>(kRing);
  std::size_t begin_ = 0;
  std::size_t size_ = 0;
  std::deque<Piece> pieces_;
  std::optional<Time> held_back_;
  bool ended_ = false;
  bool finished_ = false;
};

struct Connection {
  Connection(int client, int server, const Options& options, Bucket& up, Bucket& down,
             Totals& totals)
      : ends{{.fd = client}, {.fd = server}},
        forth(ends[0], ends[1], options, up, totals.up),
        back(ends[1], ends[0], options, down, totals.down) {}
  ~Connection() {
    for (const End& end : ends) ::close(end.fd);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Both ends see a reset, as when a link breaks.
  void abort() const {
    const linger now{.l_onoff = 1, .l_linger = 0};
    for (const End& end : ends) ::setsockopt(end.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }

  End ends[2];
  Pipe forth;
  Pipe back;
};

void prepare(int fd, const Options& options) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // A large buffer would take in what the rate has not let pass yet.
  if (options.rate > 0 || options.total_rate > 0)
    ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kLimitedBuffer, sizeof kLimitedBuffer);
}

class Relay {
 public:
  explicit Relay(Options options)
      : options_(std::move(options)), up_(options_.total_rate), down_(options_.total_rate) {
    resolve();
    listen();
    catch_signals();
  }

  int run() {
    epoll_event events[256];
    for (;;) {
      const Time until = pump_all();
      const int count = wait(events, 256, until);
      for (int at = 0; at < count; ++at) {
        if (events[at].data.ptr == &listener_) {
          accept_all();
        } else if (events[at].data.ptr == &signals_) {
          if (!on_signal()) return 0;
        } else {
          End& end = *static_cast<End*>(events[at].data.ptr);
          if (events[at].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) end.readable = true;
          if (events[at].events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) end.writable = true;
        }
      }
    }
  }

 private:
  void resolve() {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int code = ::getaddrinfo(options_.host.c_str(), options_.port.c_str(), &hints, &found);
    if (code != 0) die("cannot resolve " + options_.host + ": " + ::gai_strerror(code));
    std::memcpy(&target_, found->ai_addr, found->ai_addrlen);
    target_size_ = found->ai_addrlen;
    ::freeaddrinfo(found);
  }

  void listen() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* plain = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, plain, size) != 0 || ::listen(listener_, 128) != 0 ||
        ::getsockname(listener_, plain, &size) != 0)
      die(std::string("cannot listen: ") + std::strerror(errno));
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    watch(listener_, EPOLLIN, &listener_);
    std::printf("%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
  }

  void catch_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&set, number);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    signals_ = ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    watch(signals_, EPOLLIN, &signals_);
  }

  void watch(int fd, std::uint32_t events, void* what) const {
    epoll_event event{.events = events, .data = {.ptr = what}};
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0)
      die(std::string("cannot watch a socket: ") + std::strerror(errno));
  }

  bool on_signal() const {
    signalfd_siginfo info{};
    while (::read(signals_, &info, sizeof info) == sizeof info) {
      std::printf("{\"connections\":%llu,\"open\":%llu,\"up\":%llu,\"down\":%llu}\n",
                  static_cast<unsigned long long>(totals_.connections),
                  static_cast<unsigned long long>(totals_.open),
                  static_cast<unsigned long long>(totals_.up),
                  static_cast<unsigned long long>(totals_.down));
      std::fflush(stdout);
      if (info.ssi_signo != SIGUSR1) return false;
    }
    return true;
  }

  void accept_all() {
    for (;;) {
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (client < 0) return;
      const int server = ::socket(target_.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      prepare(client, options_);
      prepare(server, options_);
      if (::connect(server, reinterpret_cast<sockaddr*>(&target_), target_size_) != 0 &&
          errno != EINPROGRESS) {
        ::close(client);
        ::close(server);
        continue;
      }
      ++totals_.connections;
      Connection& made = connections_.emplace_back(client, server, options_, up_, down_, totals_);
      for (End& end : made.ends) watch(end.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &end);
    }
  }

  // The time of the next thing to do.
  Time pump_all() {
    const Time now = Clock::now();
    Time next = Time::max();
    for (auto at = connections_.begin(); at != connections_.end();) {
      const bool alive = at->forth.pump(now) && at->back.pump(now);
      if (!alive) at->abort();
      if (!alive || (at->forth.done() && at->back.done())) {
        at = connections_.erase(at);
        continue;
      }
      next = std::min({next, at->forth.next(now), at->back.next(now)});
      ++at;
    }
    totals_.open = connections_.size();
    // Who came first does not have the first word about the total rate every time.
    if (connections_.size() > 1)
      connections_.splice(connections_.end(), connections_, connections_.begin());
    return next;
  }

  int wait(epoll_event* events, int most, Time until) const {
    if (until == Time::max()) return ::epoll_wait(epoll_, events, most, -1);
    const auto left = std::max(Clock::duration::zero(), until - Clock::now());
    const timespec timeout{.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count(),
                           .tv_nsec = left.count() % 1'000'000'000};
    return ::epoll_pwait2(epoll_, events, most, &timeout, nullptr);
  }

  Options options_;
  Bucket up_;
  Bucket down_;
  sockaddr_storage target_{};
  socklen_t target_size_ = 0;
  int listener_ = -1;
  int signals_ = -1;
  int epoll_ = -1;
  std::list<Connection> connections_;
  Totals totals_;
};

}  // namespace

int main(int argc, char** argv) { return Relay(parse(argc, argv)).run(); }
