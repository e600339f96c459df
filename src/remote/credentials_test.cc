#include "remote/credentials.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "remote/credential_helper.h"

namespace berth::remote {
namespace {

using namespace std::chrono_literals;

// A folder with config files and helpers, removed at the end.
class CredentialsTest : public testing::Test {
 protected:
  CredentialsTest() {
    std::string name = testing::TempDir() + "berth-credentials-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    files_.write = folder_ + "/docker/config.json";
    files_.read = {files_.write, folder_ + "/auth.json"};
    files_.helper_path = "relative:" + folder_;
  }
  ~CredentialsTest() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& path, std::string_view text) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << text;
  }
  std::string read(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // A helper that keeps one entry in a file of the folder.
  void install_helper(const std::string& name, std::string_view body) {
    const std::string path = folder_ + "/docker-credential-" + name;
    write(path, "#!/bin/sh\nD='" + folder_ + "'\n" + std::string(body));
    ::chmod(path.c_str(), 0700);
  }
  void install_keychain(const std::string& name) {
    install_helper(name,
                   "case $1 in\n"
                   "store) cat >$D/kept;;\n"
                   "get) cat >$D/asked; if [ -f $D/kept ]; then cat $D/kept; else echo credentials "
                   "not found in native keychain; exit 1; fi;;\n"
                   "erase) cat >$D/erased; rm $D/kept 2>/dev/null || { echo credentials not found "
                   "in native keychain; exit 1; };;\n"
                   "esac\n");
  }
  Result<std::optional<Credential>> find(std::string registry, std::string repository = "ai/x") {
    CredentialStore store(loop_, files_);
    rt::Op op;
    return loop_.run(store.find(op, std::move(registry), std::move(repository)));
  }
  Result<CredentialStore::Stored> store(std::string registry, std::string user,
                                        std::string password) {
    CredentialStore store(loop_, files_);
    rt::Op op;
    Credential credential;
    credential.user = std::move(user);
    credential.password = Secret(std::move(password));
    return loop_.run(store.store(op, std::move(registry), std::move(credential)));
  }
  Result<bool> erase(std::string registry) {
    CredentialStore store(loop_, files_);
    rt::Op op;
    return loop_.run(store.erase(op, std::move(registry)));
  }

  rt::Loop loop_{1};
  rt::Op op_{"test"};
  std::string folder_;
  CredentialFiles files_;
};

TEST_F(CredentialsTest, NothingThereIsNobody) { EXPECT_FALSE(find("docker.io").value()); }

TEST_F(CredentialsTest, StoredPlainlyIsFoundAgainAndPrivate) {
  const auto stored = store("docker.io", "me", "pw").value();
  EXPECT_EQ(stored.kept, CredentialStore::Kept::kPlainFile);
  EXPECT_EQ(stored.where, files_.write);
  EXPECT_EQ(find("docker.io").value()->password.reveal(), "pw");
  struct stat info{};
  ASSERT_EQ(::stat(files_.write.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0600u);
  EXPECT_TRUE(erase("docker.io").value());
  EXPECT_FALSE(find("docker.io").value());
  EXPECT_FALSE(erase("docker.io").value());
}

TEST_F(CredentialsTest, ALinkedConfigStaysALink) {
  write(folder_ + "/dotfiles/config.json", R"({"first":1,"auths":{}})");
  std::filesystem::create_directories(folder_ + "/docker");
  std::filesystem::create_symlink(folder_ + "/dotfiles/config.json", files_.write);
  ASSERT_TRUE(store("ghcr.io", "me", "pw"));
  EXPECT_TRUE(std::filesystem::is_symlink(files_.write));
  EXPECT_TRUE(read(folder_ + "/dotfiles/config.json").contains("ghcr.io"));
  EXPECT_TRUE(read(folder_ + "/dotfiles/config.json").contains("first"));
}

TEST_F(CredentialsTest, PodmansFileIsReadAfterDockers) {
  write(folder_ + "/auth.json",
        R"({"auths":{"q.io/team":{"auth":")" + base64_encode(as_bytes("podman:p")) + R"("}}})");
  EXPECT_EQ(find("q.io", "team/m").value()->user, "podman");
  EXPECT_FALSE(find("q.io", "other/m").value());
  ASSERT_TRUE(store("q.io", "docker", "p"));
  EXPECT_EQ(find("q.io", "team/m").value()->user, "docker");
}

TEST_F(CredentialsTest, AHelperKeepsTheCredential) {
  install_keychain("chain");
  write(files_.write, R"({"credsStore":"chain"})");
  EXPECT_FALSE(find("docker.io").value()) << "not found is nobody, not a failure";
  EXPECT_EQ(read(folder_ + "/asked"), "https://index.docker.io/v1/");
  const auto stored = store("ghcr.io", "me", "CANARY").value();
  EXPECT_EQ(stored.kept, CredentialStore::Kept::kHelper);
  EXPECT_EQ(stored.where, "docker-credential-chain");
  EXPECT_FALSE(read(files_.write).contains("CANARY"));
  EXPECT_EQ(find("ghcr.io").value()->password.reveal(), "CANARY");
  EXPECT_TRUE(erase("ghcr.io").value());
  EXPECT_EQ(read(folder_ + "/erased"), "ghcr.io");
  EXPECT_FALSE(find("ghcr.io").value());
}

TEST_F(CredentialsTest, AHelpersTokenIsAnIdentityToken) {
  install_helper("tok",
                 "echo '{\"ServerURL\":\"x\",\"Username\":\"<token>\",\"Secret\":\"RT\"}'\n");
  write(files_.write, R"({"credHelpers":{"a.azurecr.io":"tok"}})");
  const auto found = find("a.azurecr.io").value();
  EXPECT_EQ(found->identity_token.reveal(), "RT");
  EXPECT_TRUE(found->password.empty());
}

TEST_F(CredentialsTest, AFailingHelperIsReported) {
  install_helper("bad", "printf 'locked\\033[2J'; exit 3\n");
  write(files_.write, R"({"credsStore":"bad"})");
  const auto failed = find("ghcr.io");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), Code::kUnavailable);
  EXPECT_TRUE(failed.error().message().contains(
      "docker-credential-bad get failed with exit status 3: locked"));
  EXPECT_FALSE(failed.error().message().contains('\033'));
}

TEST_F(CredentialsTest, AMissingHelperIsNamed) {
  write(files_.write, R"({"credsStore":"desktop"})");
  const auto failed = find("ghcr.io");
  ASSERT_FALSE(failed);
  EXPECT_TRUE(failed.error().message().contains("docker-credential-desktop"))
      << failed.error().message();
}

TEST_F(CredentialsTest, AHelperNameIsNoPath) {
  write(folder_ + "/sub/docker-credential-x", "#!/bin/sh\ntouch " + folder_ + "/ran\n");
  for (const char* name : {"../x", "x/y", "x;y", "", "x y"}) {
    const auto refused = CredentialHelper::find(name, files_.helper_path);
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.error().code(), Code::kInvalid);
  }
}

TEST_F(CredentialsTest, AHelperThatPrintsNonsenseGivesNothingAway) {
  install_helper("odd", "echo 'CANARY{'\n");
  write(files_.write, R"({"credsStore":"odd"})");
  const auto failed = find("ghcr.io");
  ASSERT_FALSE(failed);
  EXPECT_FALSE(failed.error().message().contains("CANARY"));
}

TEST_F(CredentialsTest, AHelperThatNeverEndsIsStopped) {
  install_helper("slow", "exec sleep 1000\n");
  const auto helper = CredentialHelper::find("slow", files_.helper_path, 50ms).value();
  EXPECT_EQ(loop_.run(helper.get(op_, loop_, "x")).error().code(), Code::kTimeout);
}

TEST_F(CredentialsTest, AHelperThatClosesItsOutputAndLingersIsStopped) {
  install_helper("lingers", "exec >&- <&-; exec sleep 1000\n");
  const auto helper = CredentialHelper::find("lingers", files_.helper_path, 50ms).value();
  EXPECT_EQ(loop_.run(helper.get(op_, loop_, "x")).error().code(), Code::kTimeout);
}

TEST_F(CredentialsTest, GivingUpEndsTheHelper) {
  install_helper("prompts", "exec sleep 1000\n");
  const auto helper = CredentialHelper::find("prompts", files_.helper_path).value();
  op_.cancel();
  EXPECT_EQ(loop_.run(helper.get(op_, loop_, "x")).error().code(), Code::kCancelled);
}

TEST_F(CredentialsTest, EndlessOutputIsRefused) {
  install_helper("loud", "exec cat /dev/zero\n");
  const auto helper = CredentialHelper::find("loud", files_.helper_path, 10s).value();
  EXPECT_TRUE(loop_.run(helper.get(op_, loop_, "x")).error().message().contains("too much"));
}

TEST_F(CredentialsTest, AHelperThatDoesNotReadIsFine) {
  install_helper("deaf", "exit 0\n");
  const auto helper = CredentialHelper::find("deaf", files_.helper_path, 10s).value();
  Credential credential;
  credential.password = Secret(std::string(500'000, 'x'));
  EXPECT_TRUE(loop_.run(helper.store(op_, loop_, "x", credential)));
}

TEST_F(CredentialsTest, ABrokenConfigIsNamedNotOverwritten) {
  write(files_.write, "{broken");
  const auto failed = store("ghcr.io", "me", "pw");
  ASSERT_FALSE(failed);
  EXPECT_TRUE(failed.error().message().contains(files_.write));
  EXPECT_EQ(read(files_.write), "{broken");
}

}  // namespace
}  // namespace berth::remote
