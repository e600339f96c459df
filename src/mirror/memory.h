// What upstream said a moment ago, bounded in number and time. Loop thread.
#pragma once

#include <chrono>
#include <string>

#include "depot/lru.h"
#include "mirror/core.h"

namespace berth::mirror {

// How long it is remembered that upstream has something not.
inline constexpr std::chrono::seconds kAbsentFor{5};

template <class Value>
class Memory {
 public:
  explicit Memory(const Core& core) : core_(core) {}

  // nullptr: nothing that is younger than `most`.
  const Value* find(const std::string& key, std::chrono::milliseconds most) {
    const Entry* entry = entries_.find(key);
    return entry == nullptr || core_.now() - entry->at >= most ? nullptr : &entry->value;
  }
  void put(std::string key, Value value, std::size_t cost = 0) {
    entries_.put(std::move(key), {.value = std::move(value), .at = core_.now()}, cost);
  }
  void erase(const std::string& key) { entries_.erase(key); }

 private:
  struct Entry {
    Value value;
    rt::SteadyTime at;
  };
  static constexpr std::size_t kBytes = std::size_t{4} << 20;
  const Core& core_;
  depot::Lru<Entry> entries_{kBytes};
};

}  // namespace berth::mirror
