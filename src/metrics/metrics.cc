#include "metrics/metrics.h"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "base/text.h"

namespace berth::metrics {
namespace {

const prometheus::Histogram::BucketBoundaries kSeconds = {
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300};

std::string escape_label(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '\\' || c == '"') out.push_back('\\');
    if (c == '\n') {
      out += "\\n";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::string label_text(const Labels& labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    if (!out.empty()) out.push_back(',');
    out += fmt::format("{}=\"{}\"", name, escape_label(value));
  }
  return out;
}

bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
}
bool is_name(char c) { return is_name_start(c) || (c >= '0' && c <= '9'); }

// Where the closing brace of a label block is, quotes and escapes honoured; npos when there is
// none.
std::size_t end_of_labels(std::string_view line, std::size_t open) {
  bool quoted = false;
  for (std::size_t i = open + 1; i < line.size(); ++i) {
    if (quoted && line[i] == '\\') {
      ++i;
    } else if (line[i] == '"') {
      quoted = !quoted;
    } else if (line[i] == '}' && !quoted) {
      return i;
    }
  }
  return std::string_view::npos;
}

// "" when the line is no sample.
std::string relabel_sample(std::string_view line, const std::string& added) {
  if (line.empty() || !is_name_start(line[0])) return "";
  std::size_t end = 1;
  while (end < line.size() && is_name(line[end])) ++end;
  const std::string_view name = line.substr(0, end);
  if (end == line.size()) return "";
  if (line[end] == ' ') return fmt::format("{}{{{}}}{}\n", name, added, line.substr(end));
  if (line[end] != '{') return "";
  const std::size_t close = end_of_labels(line, end);
  if (close == std::string_view::npos) return "";
  const std::string_view own = line.substr(end + 1, close - end - 1);
  const char* separator = own.empty() || own.ends_with(',') ? "" : ",";
  return fmt::format("{}{{{}{}{}}}{}\n", name, own, separator, added, line.substr(close + 1));
}

}  // namespace

struct Registry::State {
  prometheus::Registry registry;
};

Registry::Registry() : state_(std::make_unique<State>()) {}
Registry::~Registry() = default;

void Registry::count(std::string_view name, std::string_view help, const Labels& labels,
                     double by) {
  prometheus::BuildCounter()
      .Name(std::string(name) + "_total")
      .Help(std::string(help))
      .Register(state_->registry)
      .Add(labels)
      .Increment(by);
}

void Registry::set(std::string_view name, std::string_view help, const Labels& labels,
                   double value) {
  prometheus::BuildGauge()
      .Name(std::string(name))
      .Help(std::string(help))
      .Register(state_->registry)
      .Add(labels)
      .Set(value);
}

void Registry::add(std::string_view name, std::string_view help, const Labels& labels, double by) {
  prometheus::BuildGauge()
      .Name(std::string(name))
      .Help(std::string(help))
      .Register(state_->registry)
      .Add(labels)
      .Increment(by);
}

void Registry::observe_seconds(std::string_view name, std::string_view help, const Labels& labels,
                               double seconds) {
  prometheus::BuildHistogram()
      .Name(std::string(name))
      .Help(std::string(help))
      .Register(state_->registry)
      .Add(labels, kSeconds)
      .Observe(seconds);
}

std::string Registry::text() const {
  return prometheus::TextSerializer().Serialize(state_->registry.Collect());
}

std::string relabel(std::string_view exposition, const Labels& labels, Comments comments) {
  const std::string added = label_text(labels);
  std::string out;
  while (!exposition.empty()) {
    const std::size_t end = std::min(exposition.find('\n'), exposition.size());
    const std::string_view line = exposition.substr(0, end);
    exposition.remove_prefix(std::min(end + 1, exposition.size()));
    if (line.starts_with('#')) {
      if (comments == Comments::kKeep) out.append(line).push_back('\n');
    } else {
      out += relabel_sample(line, added);
    }
  }
  return out;
}

}  // namespace berth::metrics
