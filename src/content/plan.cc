#include "content/plan.h"

#include <algorithm>

#include "base/assert.h"

namespace berth::content {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t kMebibyte = 1024 * 1024;
constexpr std::uint64_t kMaxUnits = 1024 * 1024;
constexpr std::uint64_t kFirstRun = 32 * kMebibyte;  // before the rate is known
constexpr double kRunSeconds = 2;                    // of one request among several

constexpr std::size_t kMostPreferred = 16;
constexpr std::uint64_t kReachedSoon = 1;  // units ahead of a worker

constexpr seconds kStandsStill{5};
constexpr seconds kFresh{1};     // moved lately
constexpr seconds kGrace{3};     // before a rate is judged
constexpr double kCrawls = 0.1;  // of the siblings' median

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

}  // namespace

Plan::Plan(std::uint64_t size, std::uint64_t unit_bytes)
    : size_(size), unit_bytes_(unit_bytes), units_((size + unit_bytes - 1) / unit_bytes) {}

std::uint64_t Plan::unit_bytes_for(std::uint64_t size) {
  std::uint64_t unit = (size < 1024 * kMebibyte ? 8 : 16) * kMebibyte;
  while (size / unit >= kMaxUnits) unit *= 2;
  return unit;
}

std::uint64_t Plan::length(std::uint64_t unit) const {
  return std::min(unit_bytes_, size_ - begin_of(unit));
}

std::uint64_t Plan::prefix() const {
  while (prefix_unit_ < units_.size() && units_[prefix_unit_].held == length(prefix_unit_))
    ++prefix_unit_;
  const std::uint64_t part = prefix_unit_ < units_.size() ? units_[prefix_unit_].held : 0;
  return std::min(size_, begin_of(prefix_unit_)) + part;
}

void Plan::hold(std::uint64_t unit, std::uint64_t bytes) {
  BERTH_ASSERT(unit < units_.size() && bytes <= length(unit));
  held_ += bytes - units_[unit].held;
  units_[unit].held = units_[unit].claimed = bytes;
}

std::optional<std::uint64_t> Plan::first_free() const {
  (void)prefix();
  for (std::uint64_t unit = prefix_unit_; unit < units_.size(); ++unit)
    if (is_free(unit)) return unit;
  return std::nullopt;
}

// Alone: everything. Among several: long enough that asking for it does not count, and near enough
// that the blob fills up from its start, so that whoever hashes it is not left behind.
std::uint64_t Plan::run_units(const Owner& owner, rt::SteadyTime now) const {
  if (owners_.size() < 2) return units_.size();
  const double rate = owner.pace.rate(now);
  const std::uint64_t by_rate =
      rate > 0 ? static_cast<std::uint64_t>(rate * kRunSeconds) : kFirstRun;
  const std::uint64_t share = (size_ - held_) / (2 * owners_.size());
  return std::max<std::uint64_t>(1, std::min(by_rate, share) / unit_bytes_);
}

Plan::Run Plan::give(Owner& owner, std::uint64_t first, std::uint64_t last, rt::SteadyTime now) {
  for (std::uint64_t unit = first; unit < last; ++unit) units_[unit].owned = true;
  owner.first = first;
  owner.last = last;
  owner.at = begin_of(first) + units_[first].held;
  if (owner.pace.begun() == rt::SteadyTime{}) owner.pace.begin(now);
  return {.begin = owner.at, .end = std::min(size_, begin_of(last))};
}

// The one with the most left behind the unit that it is in.
Plan::Owner* Plan::richest() {
  Owner* best = nullptr;
  std::uint64_t most = 0;
  for (auto& [worker, owner] : owners_) {
    const std::uint64_t behind = owner.at / unit_bytes_ + 1;
    if (behind < owner.last && owner.last - behind > most) {
      most = owner.last - behind;
      best = &owner;
    }
  }
  return best;
}

// Takes from the end of the longest run what its worker does not come to soon.
bool Plan::free_some(rt::SteadyTime now) {
  Owner* victim = richest();
  if (victim == nullptr) return false;
  const std::uint64_t behind = victim->at / unit_bytes_ + 1;
  const std::uint64_t keep = std::min(run_units(*victim, now) - 1, (victim->last - behind) / 2);
  for (std::uint64_t unit = behind + keep; unit < victim->last; ++unit) units_[unit].owned = false;
  victim->last = behind + keep;
  return true;
}

std::optional<Plan::Run> Plan::next(Worker worker, rt::SteadyTime now) {
  Owner& owner = owners_[worker];
  free_run(owner);
  owner.beside = false;
  if (const auto preferred = take_preferred()) return give(owner, *preferred, *preferred + 1, now);
  auto first = first_free();
  if (!first && free_some(now)) first = first_free();
  if (!first) {
    owners_.erase(worker);
    return std::nullopt;
  }
  const std::uint64_t limit =
      std::min<std::uint64_t>(units_.size(), *first + run_units(owner, now));
  std::uint64_t last = *first + 1;
  // Behind the first unit only untouched ones: a run is one stretch of bytes.
  while (last < limit && is_free(last) && units_[last].held == 0) ++last;
  return give(owner, *first, last, now);
}

std::optional<Plan::Run> Plan::beside(Worker worker, rt::SteadyTime now) {
  for (const auto& [other, slow] : owners_) {
    if (other == worker || slow.last <= slow.first || slow.beside) continue;
    const std::uint64_t unit = slow.at / unit_bytes_;
    if (unit >= slow.last) continue;
    Owner& owner = owners_[worker];
    owner.beside = true;
    return give(owner, unit, unit + 1, now);
  }
  return std::nullopt;
}

void Plan::prefer(std::uint64_t offset) {
  if (whole_ || offset >= size_) return;
  const std::uint64_t unit = offset / unit_bytes_;
  if (units_[unit].held == length(unit) || std::ranges::find(preferred_, unit) != preferred_.end())
    return;
  for (auto& [worker, owner] : owners_) {
    if (unit < owner.first || unit >= owner.last) continue;
    if (unit <= owner.at / unit_bytes_ + kReachedSoon) return;
    for (std::uint64_t behind = unit; behind < owner.last; ++behind) units_[behind].owned = false;
    owner.last = unit;
  }
  preferred_.push_back(unit);
  if (preferred_.size() > kMostPreferred) preferred_.pop_front();
}

bool Plan::urgent() {
  std::erase_if(preferred_, [this](std::uint64_t unit) { return !is_free(unit); });
  return !preferred_.empty();
}

std::optional<std::uint64_t> Plan::take_preferred() {
  if (!urgent()) return std::nullopt;
  const std::uint64_t unit = preferred_.front();
  preferred_.pop_front();
  return unit;
}

std::uint64_t Plan::end_of(Worker worker) const {
  const auto found = owners_.find(worker);
  return found == owners_.end() ? 0 : std::min(size_, begin_of(found->second.last));
}

void Plan::take_all(Worker worker) {
  whole_ = true;
  preferred_.clear();
  Owner& owner = owners_[worker];
  owner.first = 0;
  owner.last = units_.size();
  owner.at = 0;
  for (Unit& unit : units_) unit.owned = true;
}

bool Plan::busy(std::uint64_t offset) const {
  const Unit& unit = units_[offset / unit_bytes_];
  return unit.claimed != unit.held;
}

Plan::Run Plan::claim(std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t number = offset / unit_bytes_;
  Unit& unit = units_[number];
  const Run wanted{.begin = std::max(offset, begin_of(number) + unit.claimed),
                   .end = offset + length};
  if (!wanted.empty()) unit.claimed = wanted.end - begin_of(number);
  return wanted;
}

void Plan::landed(Run bytes) {
  const std::uint64_t number = bytes.begin / unit_bytes_;
  Unit& unit = units_[number];
  BERTH_ASSERT(bytes.begin == begin_of(number) + unit.held);
  unit.held = bytes.end - begin_of(number);
  held_ += bytes.end - bytes.begin;
}

void Plan::moved(Worker worker, std::uint64_t offset, std::uint64_t bytes, rt::SteadyTime now) {
  const auto found = owners_.find(worker);
  if (found == owners_.end()) return;
  found->second.at = offset;
  found->second.pace.add(bytes, now);
}

void Plan::free_run(Owner& gone) {
  for (std::uint64_t unit = gone.first; unit < gone.last; ++unit) units_[unit].owned = false;
  gone.last = gone.first;
  // Two may have had the same unit.
  for (const auto& [worker, owner] : owners_)
    for (std::uint64_t unit = owner.first; unit < owner.last; ++unit) units_[unit].owned = true;
}

void Plan::release(Worker worker) {
  const auto found = owners_.find(worker);
  if (found == owners_.end()) return;
  free_run(found->second);
  owners_.erase(found);
}

std::vector<Plan::Worker> Plan::laggards(rt::SteadyTime now) const {
  std::vector<Worker> found;
  for (const auto& [worker, owner] : owners_) {
    if (owner.last <= owner.first || now - owner.pace.begun() < kGrace) continue;
    std::vector<double> others;
    bool others_move = false;
    for (const auto& [other, sibling] : owners_) {
      if (other == worker || sibling.last <= sibling.first) continue;
      others_move |= now - sibling.pace.last_move() < kFresh;
      if (now - sibling.pace.begun() > kFresh) others.push_back(sibling.pace.rate(now));
    }
    const bool stands = others_move && now - owner.pace.last_move() >= kStandsStill;
    const bool crawls = !others.empty() && owner.pace.rate(now) < kCrawls * median(others);
    if (stands || crawls) found.push_back(worker);
  }
  return found;
}

bool Plan::lone_and_slow(double usual, rt::SteadyTime now) const {
  if (owners_.size() != 1) return false;
  const Pace& pace = owners_.begin()->second.pace;
  return now - pace.begun() >= kGrace && pace.rate(now) < kCrawls * usual;
}

}  // namespace berth::content
