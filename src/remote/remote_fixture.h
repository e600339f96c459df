// What the tests of remote share: a fake registry on localhost:5000, time that is only noted, and
// short ways to call things.
#pragma once

#include <gtest/gtest.h>

#include "remote/fake_registry.h"
#include "rt/loop.h"

namespace berth::remote {

inline rt::Task<Status> note_sleep(std::vector<std::chrono::milliseconds>& slept, rt::Op& op,
                                   std::chrono::milliseconds time) {
  slept.push_back(time);
  co_return op.check();
}

// Reads a Source to its end.
inline rt::Task<Result<std::string>> read_source(rt::Op& op, content::Source source) {
  std::string all;
  std::array<std::byte, 1000> buffer{};
  while (true) {
    CO_TRY(const std::size_t count, co_await source.reader->read(op, buffer));
    if (count == 0) co_return all;
    all += as_text(std::span(buffer).first(count));
  }
}
inline rt::Task<Result<std::string>> fetch_all(rt::Op& op, content::Fetcher& from,
                                               oci::Descriptor blob, content::ByteRange range) {
  CO_TRY(content::Source source, co_await from.fetch(op, blob, range));
  co_return co_await read_source(op, std::move(source));
}

struct NotedProgress : content::Progress {
  void on(const content::Event& event) override { events.push_back(event); }
  std::size_t count(content::Event::Kind kind) const {
    return static_cast<std::size_t>(std::ranges::count(events, kind, &content::Event::kind));
  }
  std::vector<content::Event> events;
};

class RemoteTest : public testing::Test {
 protected:
  RemoteTest() {
    network_.host("http://localhost:5000", registry_, http::AddressKind::kLoopback);
    options_.send = network_.send();
    options_.retry.sleep = [this](rt::Op& op, std::chrono::milliseconds time) {
      clock_ += time;
      return note_sleep(slept_, op, time);
    };
    options_.retry.now = [this] { return clock_; };
  }

  void log_in(std::string user, std::string password) {
    Credential credential;
    credential.user = std::move(user);
    credential.password = Secret(std::move(password));
    log_in(std::move(credential));
  }
  void log_in(Credential credential) {
    credentials_.emplace(std::move(credential));
    options_.credentials = &*credentials_;
  }
  void log_in() { log_in("me", "CANARY-password"); }

  Registry open(std::string_view host = "localhost:5000") {
    return Registry::open(loop_, host, options_).value();
  }
  // One repository for the whole test, made on first use.
  Repository& repo(std::string_view host = "localhost:5000") {
    if (!repo_) repo_ = open(host).repository("ai/x").value();
    return *repo_;
  }
  static oci::Reference tag(std::string name) {
    return {
        .registry = "localhost:5000", .repository = "ai/x", .tag = std::move(name), .digest = {}};
  }
  static oci::Reference at(const oci::Digest& digest) {
    return {.registry = "localhost:5000", .repository = "ai/x", .tag = "", .digest = digest};
  }

  Result<oci::Descriptor> resolve(oci::Reference reference) {
    return loop_.run(repo().resolve(op_, std::move(reference)));
  }
  Result<std::string> fetch(const oci::Descriptor& blob, content::ByteRange range = {}) {
    return loop_.run(fetch_all(op_, repo(), blob, range));
  }
  Status put(std::string bytes, std::string_view type = "application/octet-stream") {
    const oci::Descriptor blob = oci::describe(bytes, type);
    content::BytesFetcher from(std::move(bytes));
    return loop_.run(repo().put(op_, blob, from, progress_));
  }
  bool holds(const std::string& bytes) {
    const auto& blobs = registry_.repos["ai/x"].blobs;
    const auto found = blobs.find(oci::Digest::of(as_bytes(bytes)).string());
    return found != blobs.end() && found->second == bytes;
  }

  // A small manifest of one layer, with its blobs, in the registry's repository.
  std::string make_manifest(const std::string& repository, std::string layer = "layer",
                            std::string extra = "") {
    const auto config = registry_.add_blob(repository, "{}", "application/vnd.oci.empty.v1+json");
    const auto blob = registry_.add_blob(repository, std::move(layer));
    return fmt::format(R"({{"schemaVersion":2,"mediaType":"{}",{}"config":{},"layers":[{}]}})",
                       oci::media::kManifest, extra, json::serialize(oci::to_json(config)),
                       json::serialize(oci::to_json(blob)));
  }

  rt::Loop loop_{1};
  rt::Op op_{"test"};
  FakeNetwork network_;
  FakeRegistry registry_;
  std::optional<FixedCredentials> credentials_;
  std::vector<std::chrono::milliseconds> slept_;
  rt::SteadyTime clock_{};
  RegistryOptions options_;
  NotedProgress progress_;
  std::unique_ptr<Repository> repo_;
};

}  // namespace berth::remote
