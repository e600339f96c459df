// The registry client over the real HTTP client and server: what fakes in memory cannot show.
#include <gtest/gtest.h>

#include "http/server.h"
#include "oci/media_types.h"
#include "remote/remote_fixture.h"
#include "rt/async.h"

namespace berth::remote {
namespace {

class SocketsTest : public testing::Test {
 protected:
  SocketsTest() : server_(loop_, registry_), client_(loop_) {
    host_ = fmt::format("127.0.0.1:{}", server_.listen_tcp("127.0.0.1", 0).value().port);
    registry_.realm = "http://" + host_ + "/token";
    for (std::size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<char>(i * 31 + i / 509);
    blob_ = oci::describe(bytes_, "application/octet-stream");
  }
  std::unique_ptr<Repository> repository(std::string_view name = "ai/x") {
    RegistryOptions options;
    options.send = send_with(client_);
    options.credentials = &credentials_;
    options.retry.first_delay = std::chrono::milliseconds(1);
    options.chunk_bytes = chunk_bytes_;
    return Registry::open(loop_, host_, options).value().repository(name).value();
  }
  Status run(Task<Status> work) { return loop_.run(serve_while(std::move(work))); }

  rt::Loop loop_{2};
  rt::Op op_{"test"};
  FakeRegistry registry_;
  http::Server server_;
  http::Client client_;
  std::string host_;
  FixedCredentials credentials_{{.user = "me",
                                 .password = Secret("CANARY-password"),
                                 .identity_token = {},
                                 .registry_token = {}}};
  NotedProgress progress_;
  std::uint64_t chunk_bytes_ = 16'000'000;
  std::string bytes_ = std::string(5'000'000, '\0');
  oci::Descriptor blob_;

 private:
  Task<Status> serve_while(Task<Status> work) {
    rt::Op serving("server");
    rt::Scope scope(loop_);
    scope.spawn(server_.serve(serving));
    const Status outcome = co_await std::move(work);
    server_.stop();
    CO_TRY_OK(co_await scope.join());
    co_return outcome;
  }
};

// Pushes a model, takes it back in another session and compares.
Task<Status> there_and_back(rt::Op& op, Repository& to, Repository& from, std::string bytes,
                            std::string manifest, content::Progress& progress) {
  const oci::Descriptor blob = oci::describe(bytes, "application/octet-stream");
  const oci::Descriptor top = oci::describe(manifest, oci::media::kManifest);
  const oci::Reference latest{.registry = "x", .repository = "ai/x", .tag = "latest", .digest = {}};
  content::BytesFetcher blob_bytes(bytes);
  content::BytesFetcher manifest_bytes(manifest);
  CO_TRY_OK(co_await to.put(op, blob, blob_bytes, progress));
  CO_TRY_OK(co_await to.put(op, top, manifest_bytes, progress));
  CO_TRY_OK(co_await to.tag(op, top, latest));
  CO_TRY(const oci::Descriptor found, co_await from.resolve(op, latest));
  EXPECT_EQ(found.digest, top.digest);
  CO_TRY(const std::string back, co_await fetch_all(op, from, found, {}));
  EXPECT_EQ(back, manifest);
  CO_TRY(const std::string whole, co_await fetch_all(op, from, blob, {}));
  EXPECT_TRUE(whole == bytes);
  CO_TRY(const std::string part,
         co_await fetch_all(op, from, blob, {.offset = 1'000'000, .length = {}}));
  EXPECT_TRUE(part == bytes.substr(1'000'000));
  co_return Status();
}

std::string manifest_of(const oci::Descriptor& layer) {
  return fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[]}})",
                     oci::media::kManifest, json::serialize(oci::to_json(layer)));
}

TEST_F(SocketsTest, AModelGoesThereAndBackWithATokenLogin) {
  registry_.auth = FakeRegistry::Auth::kBearer;
  const auto to = repository();
  const auto from = repository();
  const Status done = run(there_and_back(op_, *to, *from, bytes_, manifest_of(blob_), progress_));
  EXPECT_TRUE(done) << done.error().message();
}

TEST_F(SocketsTest, ChunksAfterARefusedPut) {
  registry_.largest_put = 2'000'000;
  const auto to = repository();
  const Status done = run(there_and_back(op_, *to, *to, bytes_, manifest_of(blob_), progress_));
  EXPECT_TRUE(done) << "the first chunk was too large and the next are smaller: "
                    << done.error().message();
}

// A source that hangs in its first reading, as a slow disk or another registry may.
class HangsOnce : public content::Fetcher {
 public:
  explicit HangsOnce(std::string bytes) : bytes_(std::move(bytes)) {}
  Task<Result<content::Source>> fetch(rt::Op& op, oci::Descriptor blob,
                                      content::ByteRange range) override {
    CO_TRY(content::Source source, co_await bytes_.fetch(op, blob, range));
    if (++fetches_ == 1) source.reader = std::make_unique<Hanging>();
    co_return source;
  }

 private:
  struct Hanging : rt::Reader {
    Task<Result<std::size_t>> read(rt::Op& op, MutableBytes) override {
      CO_TRY_OK(co_await rt::sleep_for(op, std::chrono::hours(1)));
      co_return 0;
    }
  };
  content::BytesFetcher bytes_;
  int fetches_ = 0;
};
Task<Status> put_from(rt::Op& op, content::Fetcher& from, Repository& to, oci::Descriptor blob,
                      content::Progress& progress) {
  co_return co_await to.put(op, blob, from, progress);
}
TEST_F(SocketsTest, AnEarlyRefusalIsHeardWhileTheSourceHangs) {
  registry_.largest_put = 2'000'000;
  chunk_bytes_ = 1'000'000;
  const auto to = repository();
  HangsOnce from(bytes_);
  const Status done = run(put_from(op_, from, *to, blob_, progress_));
  EXPECT_TRUE(done) << done.error().message();
  EXPECT_TRUE(registry_.repos["ai/x"].blobs[blob_.digest.string()] == bytes_);
}

Task<Status> fetch_and_leave(rt::Op& op, Repository& from, oci::Descriptor blob) {
  for (int i = 0; i < 3; ++i) {
    CO_TRY(content::Source source, co_await from.fetch(op, blob, {}));
    std::array<std::byte, 100> some{};
    CO_TRY_OK(co_await source.reader->read(op, some));
  }
  CO_TRY(const bool there, co_await from.has(op, blob));
  EXPECT_TRUE(there);
  co_return Status();
}
TEST_F(SocketsTest, ABodyThatIsLeftDoesNotHurtTheNext) {
  registry_.add_blob("ai/x", bytes_);
  const auto from = repository();
  const Status done = run(fetch_and_leave(op_, *from, blob_));
  EXPECT_TRUE(done) << done.error().message();
}

TEST_F(SocketsTest, ABlobStreamsFromOneRepositoryIntoAnother) {
  registry_.add_blob("ai/base", bytes_);
  const auto from = repository("ai/base");
  const auto to = repository();
  const Status done = run(put_from(op_, *from, *to, blob_, progress_));
  EXPECT_TRUE(done) << done.error().message();
  EXPECT_TRUE(registry_.repos["ai/x"].blobs[blob_.digest.string()] == bytes_);
}

TEST_F(SocketsTest, NobodyListeningIsUnavailable) {
  server_.stop();
  RegistryOptions options;
  options.send = send_with(client_);
  options.retry.first_delay = std::chrono::milliseconds(1);
  const auto gone =
      Registry::open(loop_, "127.0.0.1:1", options).value().repository("ai/x").value();
  const auto failed = loop_.run(gone->has(op_, blob_));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), Code::kUnavailable) << failed.error().message();
}

}  // namespace
}  // namespace berth::remote
