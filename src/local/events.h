// Turns what the content layer tells into what the product tells: names for digests, totals, sums.
#pragma once

#include <map>
#include <string>

#include "content/content.h"
#include "control/records.h"
#include "model/model.h"

namespace berth::local {

class EventBridge : public content::Progress {
 public:
  explicit EventBridge(control::Events& events) : events_(events) {}

  // File names of the layers to come.
  void name(const model::Model& model);
  void name(const oci::Digest& digest, std::string name) { names_[digest] = std::move(name); }
  void message(std::string text);
  void warning(std::string text);
  void on(const content::Event& event) override;

  std::uint64_t transferred() const { return transferred_; }

 private:
  void resumed(const content::Event& event);
  void grow_total(std::uint64_t bytes);

  control::Events& events_;
  std::map<oci::Digest, std::string> names_;
  std::map<oci::Digest, std::uint64_t> seen_;  // bytes of each blob so far
  std::uint64_t total_ = 0;
  std::uint64_t transferred_ = 0;
};

}  // namespace berth::local
