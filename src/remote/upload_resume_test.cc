// Uploads that are cut: what the registry holds is not sent again, in this process or a later one.
#include <filesystem>
#include <fstream>

#include "remote/remote_fixture.h"
#include "remote/upload_journal.h"

namespace berth::remote {
namespace {

using Kind = content::Event::Kind;

class ResumeTest : public RemoteTest {
 protected:
  ResumeTest() {
    char name[] = "/tmp/berth-uploads-XXXXXX";
    folder_ = ::mkdtemp(name);
    for (int i = 0; i < 100'000; ++i) bytes_ += static_cast<char>(i * 31 + i / 509);
    options_.chunk_bytes = 10'000;
    options_.journal_from = 1000;
  }
  ~ResumeTest() override { std::filesystem::remove_all(folder_); }

  // A push that ends with its process: nothing but the journal is left.
  void push_and_die(std::size_t cut) {
    registry_.cut_uploads.push_back(cut);
    options_.retry.attempts = 1;
    remember();
    EXPECT_FALSE(put(bytes_));
    options_.retry.attempts = 5;
    remember();
  }
  // The next process.
  void remember() {
    repo_.reset();
    journal_.emplace(loop_, folder_ + "/uploads");
    options_.journal = &*journal_;
  }
  std::vector<std::filesystem::path> records() const {
    std::vector<std::filesystem::path> all;
    if (!std::filesystem::exists(folder_ + "/uploads")) return all;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ + "/uploads"))
      all.push_back(entry.path());
    return all;
  }
  std::size_t count(std::string_view method) const {
    return network_.count(method, "/v2/ai/x/blobs/uploads/");
  }
  const FakeNetwork::Seen& last(std::string_view method) const {
    return *std::ranges::find(network_.requests.rbegin(), network_.requests.rend(), method,
                              &FakeNetwork::Seen::method);
  }

  std::string folder_;
  std::string bytes_;
  std::optional<FileUploadJournal> journal_;
};

TEST_F(ResumeTest, ACutPutGoesOnWhereTheRegistryIs) {
  registry_.cut_uploads = {60'000};
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_));
  EXPECT_EQ(registry_.received, bytes_.size()) << "nothing went twice";
  EXPECT_EQ(count("POST"), 1u);
  EXPECT_EQ(last("PATCH").headers.get("Content-Range"), "60000-99999");
  EXPECT_GE(progress_.count(Kind::kRetry), 2u) << "what it waits for, and where it goes on";
}

TEST_F(ResumeTest, AsLongAsItMovesItGoesOn) {
  for (int i = 0; i < 30; ++i) registry_.cut_uploads.push_back(3000);
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_));
  EXPECT_EQ(registry_.received, bytes_.size());
}

TEST_F(ResumeTest, AnUploadThatIsLostBeginsAgain) {
  registry_.keep_cut = false;
  registry_.cut_uploads = {60'000};
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_));
  EXPECT_EQ(registry_.received, 160'000u);
  EXPECT_EQ(count("POST"), 2u);
}

TEST_F(ResumeTest, AStatusOfMoreThanWasSentIsNotBelieved) {
  for (const char* lie : {"0-99999", "0-60001", "0-18446744073709551615"}) {
    repo_.reset();
    registry_.repos.clear();
    registry_.cut_uploads = {60'000};
    registry_.status_range = lie;
    ASSERT_TRUE(put(bytes_)) << lie;
    EXPECT_TRUE(holds(bytes_)) << lie;
  }
}

TEST_F(ResumeTest, AStatusOfLessIsFilledUp) {
  registry_.cut_uploads = {60'000};
  registry_.script.push_back({.method = "GET",
                              .path_prefix = "/v2/ai/x/blobs/uploads/",
                              .status = 204,
                              .headers = {{"Range", "0-49999"}}});
  ASSERT_TRUE(put(bytes_)) << "it claims less than it has, refuses the PATCH and is asked again";
  EXPECT_TRUE(holds(bytes_));
}

TEST_F(ResumeTest, WrongBytesInTheRegistryAreFoundOutAndSentAgain) {
  push_and_die(50'000);
  registry_.uploads.begin()->second.second[7] ^= 1;
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_)) << "the digest of the whole decides";
}

TEST_F(ResumeTest, ALaterProcessGoesOn) {
  push_and_die(60'000);
  EXPECT_EQ(records().size(), 1u);
  registry_.received = 0;
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_));
  EXPECT_EQ(registry_.received, 40'000u);
  EXPECT_EQ(count("POST"), 1u);
  EXPECT_TRUE(records().empty()) << "nothing is left behind";
}

TEST_F(ResumeTest, TheRecordIsTheUsersAlone) {
  push_and_die(60'000);
  ASSERT_EQ(records().size(), 1u);
  EXPECT_EQ(std::filesystem::status(records()[0]).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(ResumeTest, ASessionThatIsGoneMeanwhileCostsOneQuestion) {
  push_and_die(60'000);
  registry_.uploads.clear();
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_));
  EXPECT_EQ(count("GET"), 1u);
}

TEST_F(ResumeTest, RecordsThatAreNoRecordsAreIgnored) {
  for (const char* text : {"", "{", "[]", R"({"version":1})", R"({"version":2,"url":"x"})"}) {
    registry_.repos.clear();
    push_and_die(60'000);
    ASSERT_EQ(records().size(), 1u);
    std::ofstream(records()[0], std::ios::trunc) << text;
    const std::size_t before = count("POST");
    ASSERT_TRUE(put(bytes_)) << text;
    EXPECT_EQ(count("POST"), before + 1) << text;
    registry_.uploads.clear();
  }
}

TEST_F(ResumeTest, ARecordOfAnotherUploadOrAnotherDayIsIgnored) {
  for (const auto& [from, to] :
       {std::pair{"ai/x\"", "ai/y\""}, std::pair{"\"since\":1", "\"since\":-1"}}) {
    registry_.repos.clear();
    push_and_die(60'000);
    std::string text;
    std::getline(std::ifstream(records().at(0)), text);
    const std::size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << text;
    text.replace(at, std::string_view(from).size(), to);
    std::ofstream(records()[0], std::ios::trunc) << text;
    const std::size_t before = count("POST");
    ASSERT_TRUE(put(bytes_));
    EXPECT_EQ(count("POST"), before + 1);
    registry_.uploads.clear();
  }
}

TEST_F(ResumeTest, ARecordThatLeadsElsewhereIsJudgedLikeAnyPlace) {
  FakeRegistry remote;
  FakeRegistry inside;
  network_.host("https://registry.example", remote);
  network_.host("https://inside.example", inside, http::AddressKind::kLoopback);
  remote.cut_uploads = {60'000};
  options_.retry.attempts = 1;
  remember();
  const oci::Descriptor blob = oci::describe(bytes_, "application/octet-stream");
  content::BytesFetcher from(bytes_);
  ASSERT_FALSE(loop_.run(repo("registry.example").put(op_, blob, from, progress_)));
  std::string text;
  std::getline(std::ifstream(records().at(0)), text);
  const std::size_t at = text.find("\"url\":\"https://registry.example");
  ASSERT_NE(at, std::string::npos) << text;
  text.replace(at, 31, "\"url\":\"https://inside.example");
  std::ofstream(records()[0], std::ios::trunc) << text;
  options_.retry.attempts = 5;
  remember();
  (void)loop_.run(repo("registry.example").put(op_, blob, from, progress_));
  EXPECT_FALSE(std::ranges::any_of(
      network_.requests, [](const auto& seen) { return seen.url.host == "inside.example"; }));
}

TEST_F(ResumeTest, OneUploadHasOneWriter) {
  remember();
  const UploadKey key{.registry = "http://r", .repository = "ai/x", .digest = "sha256:0"};
  const auto mine = loop_.run(journal_->claim(op_, key));
  ASSERT_TRUE(mine);
  FileUploadJournal another(loop_, folder_ + "/uploads");
  EXPECT_FALSE(loop_.run(another.claim(op_, key)));
  UploadKey other = key;
  other.repository = "ai/y";
  EXPECT_TRUE(loop_.run(another.claim(op_, other)));
}

TEST_F(ResumeTest, AJournalThatCannotBeWrittenIsNoFailure) {
  std::ofstream(folder_ + "/uploads") << "a file in the way";
  remember();
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_));
}

TEST_F(ResumeTest, ARefusedUploadLeavesNoRecord) {
  remember();
  registry_.script.push_back(
      {.method = "PUT", .path_prefix = "/v2/ai/x/blobs/uploads/", .status = 403});
  EXPECT_EQ(put(bytes_).error().code(), Code::kDenied);
  EXPECT_TRUE(records().empty());
}

TEST_F(ResumeTest, AChunkThatIsTooLargeIsMadeSmaller) {
  options_.chunk_bytes = 1'000'000;
  const std::string large(1'500'000, 'x');
  registry_.largest_put = 300'000;
  ASSERT_TRUE(put(large));
  EXPECT_TRUE(holds(large));
  EXPECT_LE(count("PATCH"), 9u);
}

TEST_F(ResumeTest, WhereNoPatchIsKnownAPutIsSentAgain) {
  registry_.cut_uploads = {60'000};
  registry_.script.push_back(
      {.method = "PATCH", .path_prefix = "/v2/ai/x/blobs/uploads/", .status = 405, .times = 100});
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_));
  EXPECT_EQ(registry_.received, 160'000u);
}

TEST_F(ResumeTest, AnAcknowledgementThatWasLostIsLookedFor) {
  registry_.lose_answers = 1;
  ASSERT_TRUE(put(bytes_));
  EXPECT_TRUE(holds(bytes_));
  EXPECT_EQ(registry_.received, bytes_.size()) << "it is there, so it is not sent again";
}

}  // namespace
}  // namespace berth::remote
