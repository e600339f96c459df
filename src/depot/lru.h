// A bounded map that forgets what was not asked for longest. Not thread-safe.
#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace berth::depot {

template <class Value>
class Lru {
 public:
  explicit Lru(std::size_t most) : most_(most) {}

  // nullptr when it is not held. Valid until the next change.
  const Value* find(const std::string& key) {
    const auto found = at_.find(key);
    if (found == at_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return &found->second->value;
  }
  // `cost` counts against `most`, together with a little for the entry itself.
  void put(std::string key, Value value, std::size_t cost) {
    erase(key);
    cost += key.size() + kOverhead;
    entries_.push_front({.key = std::move(key), .value = std::move(value), .cost = cost});
    at_.emplace(entries_.front().key, entries_.begin());
    held_ += cost;
    while (held_ > most_ && entries_.size() > 1) erase(entries_.back().key);
  }
  void erase(std::string_view key) {
    const auto found = at_.find(key);
    if (found == at_.end()) return;
    const auto entry = found->second;
    at_.erase(found);
    held_ -= entry->cost;
    entries_.erase(entry);
  }

 private:
  static constexpr std::size_t kOverhead = 128;
  struct Entry {
    std::string key;
    Value value;
    std::size_t cost;
  };
  std::size_t most_;
  std::size_t held_ = 0;
  std::list<Entry> entries_;
  std::unordered_map<std::string_view, typename std::list<Entry>::iterator> at_;  // keys of entries
};

}  // namespace berth::depot
