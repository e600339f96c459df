// Counters, gauges and histograms in Prometheus's text form. The only module that includes
// prometheus.
//
// Thread-safe. Series live as long as their Registry; label values come from small closed sets,
// never from a caller's text as it is (that would let a stranger fill the memory). Source:
// Prometheus exposition format 0.0.4.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace berth::metrics {

using Labels = std::map<std::string, std::string>;

class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // `name` without "_total", which counters get; `help` of the first call counts.
  void count(std::string_view name, std::string_view help, const Labels& labels, double by = 1);
  void set(std::string_view name, std::string_view help, const Labels& labels, double value);
  void add(std::string_view name, std::string_view help, const Labels& labels,
           double by);  // a gauge
  // Buckets for times from milliseconds to minutes.
  void observe_seconds(std::string_view name, std::string_view help, const Labels& labels,
                       double seconds);

  std::string text() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Another program's exposition text with `labels` added to every sample. Lines that are not samples
// of the format are dropped; HELP and TYPE lines are kept when `comments` says so (a family may
// have them once in a page).
enum class Comments { kKeep, kDrop };
std::string relabel(std::string_view exposition, const Labels& labels, Comments comments);

}  // namespace berth::metrics
