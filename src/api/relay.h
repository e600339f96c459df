// An engine's answer on its way to the caller: event by event, with the name of the model that the
// caller used. Private to api.
//
// Loop thread. It holds the engine while the answer lasts; destroying it closes the connection to
// the engine, which stops the generation. A failure after the first byte becomes an error event
// with the engine's last lines.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "api/engines.h"
#include "api/recorder.h"
#include "api/route.h"

namespace berth::api {

// One request, as metrics and recordings see it.
struct Exchange {
  std::string model;  // as the caller named it
  ErrorForm errors = ErrorForm::kOpenAi;
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  Record record;
};

// What both kinds of answer do at their end. Outlives every answer.
class Ledger {
 public:
  Ledger(metrics::Registry& metrics, Recorder& recorder) : metrics_(metrics), recorder_(recorder) {}

  bool recording() const { return recorder_.enabled(); }
  void loaded(const EngineInfo& engine);
  void first_byte(const EngineInfo& engine, const Exchange& exchange);
  // `last` is the text that holds the usage.
  void ended(const EngineInfo& engine, const Exchange& exchange, std::string_view last);
  void record(const std::string& model, Record record) { recorder_.add(model, std::move(record)); }

 private:
  metrics::Registry& metrics_;
  Recorder& recorder_;
};

// `first` is what was read of `body` already.
std::unique_ptr<rt::Reader> relay_events(Ledger& ledger, std::unique_ptr<Engine> engine,
                                         Exchange exchange, std::unique_ptr<rt::Reader> body,
                                         std::string first);

}  // namespace berth::api
