// Work that several ask for at once and that is done once: who comes while it is under way waits
// for the same outcome.
//
// Loop thread. The work lives in a Scope of the mirror's, so it goes on when whoever began it
// leaves.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "rt/async.h"

namespace berth::mirror {

template <class Value>
class SingleFlight {
 public:
  SingleFlight(rt::Loop& loop, rt::Scope& scope) : loop_(loop), scope_(scope) {}

  // `make` gives the work; it is called when nobody does it now.
  template <class Make>
  rt::Task<Result<Value>> run(rt::Op& op, std::string key, Make make) {
    const auto known = flights_.find(key);
    const std::shared_ptr<Flight> flight =
        known == flights_.end() ? begin(std::move(key), make()) : known->second;
    while (!flight->outcome) CO_TRY_OK(co_await flight->landed.wait(op));
    co_return *flight->outcome;
  }

 private:
  struct Flight {
    explicit Flight(rt::Loop& loop) : landed(loop) {}
    rt::Event landed;
    std::optional<Result<Value>> outcome;
  };

  std::shared_ptr<Flight> begin(std::string key, rt::Task<Result<Value>> work) {
    const auto flight = std::make_shared<Flight>(loop_);
    flights_.emplace(key, flight);
    scope_.spawn(fly(*this, std::move(key), flight, std::move(work)));
    return flight;
  }
  static rt::Task<Status> fly(SingleFlight& all, std::string key, std::shared_ptr<Flight> flight,
                              rt::Task<Result<Value>> work) {
    flight->outcome = co_await std::move(work);
    all.flights_.erase(key);
    flight->landed.notify_all();
    co_return Status();
  }

  rt::Loop& loop_;
  rt::Scope& scope_;
  std::map<std::string, std::shared_ptr<Flight>> flights_;
};

}  // namespace berth::mirror
