#include "remote/host_memory.h"

#include <filesystem>
#include <fstream>

#include "remote/remote_fixture.h"

namespace berth::remote {
namespace {

class HostMemoryTest : public RemoteTest {
 protected:
  HostMemoryTest() {
    char name[] = "/tmp/berth-hosts-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  ~HostMemoryTest() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& text) { std::ofstream(folder_ + "/hosts.json") << text; }
  Quirks recall(const std::string& host) { return FileHostMemory(loop_, folder_).recall(host, {}); }

  std::string folder_;
};

TEST_F(HostMemoryTest, ALaterRunKnowsWhatWasLearned) {
  FileHostMemory memory(loop_, folder_);
  options_.memory = &memory;
  registry_.largest_put = 1500;
  options_.chunk_bytes = 1000;
  ASSERT_TRUE(put(std::string(3500, 'a')));
  EXPECT_EQ(recall("localhost:5000").chunks, Quirks::Chunks::kAlways);
  FileHostMemory later(loop_, folder_);
  options_.memory = &later;
  repo_.reset();
  network_.requests.clear();
  ASSERT_TRUE(put(std::string(3500, 'b')));
  EXPECT_EQ(network_.count("PUT", "/v2/ai/x/blobs/"), 1u) << "only the one that closes";
}

TEST_F(HostMemoryTest, BrokenRangesAreRemembered) {
  FileHostMemory memory(loop_, folder_);
  options_.memory = &memory;
  registry_.content_range = "bytes 0-0/1";
  const auto blob = registry_.add_blob("ai/x", std::string(100, 'a'));
  ASSERT_TRUE(fetch(blob, {.offset = 10, .length = {}}));
  EXPECT_FALSE(recall("localhost:5000").ranges);
  EXPECT_TRUE(recall("localhost:5001").ranges);
}

TEST_F(HostMemoryTest, OldAndMalformedEntriesAreForgotten) {
  for (const char* text : {"", "[]", R"({"hosts":[]})", R"({"hosts":{"a":1}})",
                           R"({"hosts":{"a":{"since":1,"ranges":false}}})",
                           R"({"hosts":{"a":{"since":99999999999,"ranges":false}}})",
                           R"({"hosts":{"a":{"since":"x","ranges":false}}})"}) {
    write(text);
    EXPECT_TRUE(recall("a").ranges) << text;
  }
}

TEST_F(HostMemoryTest, TheTableOfKnownHostsStaysBelow) {
  FileHostMemory memory(loop_, folder_);
  Quirks found;
  found.ranges = false;
  loop_.run(memory.remember(op_, "ghcr.io", found));
  const Quirks both = FileHostMemory(loop_, folder_).recall("ghcr.io", quirks_of("ghcr.io"));
  EXPECT_EQ(both.chunks, Quirks::Chunks::kNever);
  EXPECT_FALSE(both.ranges);
}

TEST_F(HostMemoryTest, ItStaysSmall) {
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::system_clock::now().time_since_epoch());
  std::string hosts;
  for (int i = 0; i < 2000; ++i)
    hosts += fmt::format("{}\"host-{}\":{{\"since\":{}}}", i == 0 ? "" : ",", i, now.count() - i);
  write("{\"hosts\":{" + hosts + "}}");
  FileHostMemory memory(loop_, folder_);
  loop_.run(memory.remember(op_, "another", {}));
  EXPECT_LT(std::filesystem::file_size(folder_ + "/hosts.json"), 64u * 1024);
  loop_.run(memory.remember(op_, std::string(100'000, 'x'), {}));
  EXPECT_LT(std::filesystem::file_size(folder_ + "/hosts.json"), 64u * 1024);
}

}  // namespace
}  // namespace berth::remote
