// Container images as engines: hostile and ordinary layers, and what is found in a root.
#include <archive.h>
#include <archive_entry.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <stdlib.h>
#include <sys/stat.h>

#include "engine/image_layers.h"
#include "engine/image_root.h"
#include "engine/install.h"
#include "engine/installation.h"
#include "engine/launch.h"
#include "process/command.h"

namespace berth::engine {
namespace {

namespace files = std::filesystem;

struct Item {
  std::string name;
  std::string text = {};
  mode_t type = AE_IFREG;
  mode_t mode = 0644;
  std::string link = {};       // of AE_IFLNK
  std::string hard_link = {};  // name of the first
};

enum class Packed { kPlain, kGzip, kZstd };

void write_layer(const std::string& path, const std::vector<Item>& items,
                 Packed packed = Packed::kPlain) {
  archive* out = archive_write_new();
  archive_write_set_format_pax_restricted(out);
  if (packed == Packed::kGzip) archive_write_add_filter_gzip(out);
  if (packed == Packed::kZstd) archive_write_add_filter_zstd(out);
  ASSERT_EQ(archive_write_open_filename(out, path.c_str()), ARCHIVE_OK);
  for (const Item& item : items) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, item.name.c_str());
    archive_entry_set_filetype(entry, item.type);
    archive_entry_set_perm(entry, item.mode);
    if (item.type == AE_IFREG)
      archive_entry_set_size(entry, static_cast<la_int64_t>(item.text.size()));
    if (item.type == AE_IFLNK) archive_entry_set_symlink(entry, item.link.c_str());
    if (!item.hard_link.empty()) archive_entry_set_hardlink(entry, item.hard_link.c_str());
    ASSERT_LE(archive_write_header(out, entry), ARCHIVE_OK);
    if (!item.text.empty()) archive_write_data(out, item.text.data(), item.text.size());
    archive_entry_free(entry);
  }
  archive_write_close(out);
  archive_write_free(out);
}

class Image : public ::testing::Test {
 protected:
  Image() {
    std::string name = "/tmp/berth-image-XXXXXX";
    folder = ::mkdtemp(name.data());
    files::create_directories(folder + "/rootfs");
  }
  ~Image() override { files::remove_all(folder); }

  Status apply(const std::vector<Item>& items, ImageLimits limits = {},
               Packed packed = Packed::kPlain) {
    write_layer(folder + "/layer", items, packed);
    return apply_file(limits);
  }
  Status apply_file(ImageLimits limits = {}) {
    const fs::Dir root = fs::Dir::open(at("")).value();
    const fs::File layer = fs::open_user_file(folder + "/layer").value();
    return ImageLayers(root, limits).apply(layer);
  }
  std::string at(const std::string& inside) const { return folder + "/rootfs" + inside; }
  std::string text(const std::string& inside) const {
    std::ifstream file(at(inside));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  bool there(const std::string& inside) const {
    return files::exists(files::symlink_status(at(inside)));
  }

  std::string folder;
};

TEST_F(Image, LayersOfEveryPackingMakeARoot) {
  ASSERT_TRUE(apply({{.name = "./usr/", .type = AE_IFDIR},
                     {.name = "usr/bin/tool", .text = "one", .mode = 06755},
                     {.name = "bin", .type = AE_IFLNK, .link = "usr/bin"},
                     {.name = "usr/bin/second", .hard_link = "usr/bin/tool"}}));
  ASSERT_TRUE(apply({{.name = "usr/bin/tool", .text = "two", .mode = 0644}}, {}, Packed::kGzip));
  ASSERT_TRUE(apply({{.name = "etc/zstd", .text = "three"}}, {}, Packed::kZstd));
  EXPECT_EQ(text("/usr/bin/tool"), "two");
  EXPECT_EQ(text("/usr/bin/second"), "one");
  EXPECT_EQ(text("/etc/zstd"), "three");
  EXPECT_EQ(files::read_symlink(at("/bin")), "usr/bin");
  struct stat info{};
  ASSERT_EQ(::stat(at("/usr/bin/second").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755u);  // runs, and no set-id bit
}

TEST_F(Image, NamesInAnyAlphabetArePlainBytes) {
  ASSERT_TRUE(apply({{.name = "certificates/Főtanúsítvány.crt", .text = "x"}}));
  EXPECT_EQ(text("/certificates/Főtanúsítvány.crt"), "x");
}

TEST_F(Image, WhiteoutsHideWhatIsBelowAndNotWhatComesWithThem) {
  ASSERT_TRUE(apply({{.name = "a/old", .text = "1"},
                     {.name = "a/kept", .text = "1"},
                     {.name = "b/deep/old", .text = "1"},
                     {.name = "link", .type = AE_IFLNK, .link = "a"}}));
  ASSERT_TRUE(apply({{.name = "b/new", .text = "2"},
                     {.name = "b/.wh..wh..opq"},
                     {.name = "a/.wh.old"},
                     {.name = ".wh.link"},
                     {.name = "absent/.wh.thing"}}));
  EXPECT_FALSE(there("/a/old"));
  EXPECT_TRUE(there("/a/kept"));
  EXPECT_FALSE(there("/b/deep"));
  EXPECT_EQ(text("/b/new"), "2");
  EXPECT_FALSE(there("/link"));
  EXPECT_FALSE(there("/absent"));
  EXPECT_FALSE(there("/a/.wh.old"));
}

TEST_F(Image, AFolderAndAFileTakeEachOthersPlace) {
  ASSERT_TRUE(apply({{.name = "x/inside", .text = "1"}, {.name = "y", .text = "1"}}));
  ASSERT_TRUE(apply({{.name = "x", .text = "2"}, {.name = "y", .type = AE_IFDIR}}));
  EXPECT_EQ(text("/x"), "2");
  EXPECT_TRUE(files::is_directory(at("/y")));
}

TEST_F(Image, NothingLeavesItsFolderByName) {
  for (const char* name : {"../out", "a/../../out", "/etc/out", "a//b", "a/./b", "a\\b"}) {
    const Status refused = apply({{.name = name, .text = "x"}});
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.error().code(), Code::kCorrupt) << name;
  }
  EXPECT_FALSE(files::exists(folder + "/out"));
}

TEST_F(Image, NothingLeavesItsFolderThroughALink) {
  files::create_directories(folder + "/outside");
  std::ofstream(folder + "/outside/file") << "precious";
  const Item out{.name = "out", .type = AE_IFLNK, .link = folder + "/outside"};
  const Item up{.name = "up", .type = AE_IFLNK, .link = "../outside"};
  for (const std::string link : {"out", "up"}) {
    for (const Item& second :
         {Item{.name = link + "/new", .text = "x"}, Item{.name = link + "/sub/", .type = AE_IFDIR},
          Item{.name = link + "/l", .type = AE_IFLNK, .link = "x"},
          Item{.name = link + "/h", .hard_link = "plain"}}) {
      const Status refused = apply({out, up, {.name = "plain", .text = "p"}, second});
      ASSERT_FALSE(refused) << second.name;
      EXPECT_EQ(refused.error().code(), Code::kCorrupt) << refused.error().message();
    }
    // A whiteout finds nothing there, and a second name is not given to what lies outside.
    EXPECT_TRUE(apply({{.name = link + "/.wh.file"}, {.name = link + "/.wh..wh..opq"}}));
    EXPECT_FALSE(apply({{.name = "stolen", .hard_link = link + "/file"}}));
  }
  EXPECT_FALSE(apply({{.name = "stolen", .hard_link = "../outside/file"}}));
  EXPECT_FALSE(apply({{.name = "stolen", .hard_link = "out"}}));
  // The link itself is replaced, not what it points to.
  EXPECT_TRUE(apply({{.name = "out", .text = "mine"}}));
  EXPECT_EQ(text("/out"), "mine");
  EXPECT_EQ(std::distance(files::directory_iterator(folder + "/outside"), {}), 1);
  EXPECT_TRUE(files::exists(folder + "/outside/file"));
}

TEST_F(Image, AWhiteoutNamesAChild) {
  EXPECT_FALSE(apply({{.name = "a/.wh..."}}));
  EXPECT_FALSE(apply({{.name = "a/.wh."}}));
  EXPECT_TRUE(there(""));
}

TEST_F(Image, DevicesAndPipesAreRefused) {
  for (const mode_t type : {AE_IFIFO, AE_IFCHR, AE_IFBLK}) {
    const Status refused = apply({{.name = "dev/thing", .type = type}});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::kCorrupt);
    EXPECT_FALSE(there("/dev/thing"));
  }
}

TEST_F(Image, BombsAreRefusedBeforeTheyAreWritten) {
  const std::string zeros(4 << 20, '\0');
  const ImageLimits tight{.ratio = 10, .free_bytes = 1 << 10};
  EXPECT_EQ(apply({{.name = "zeros", .text = zeros}}, tight, Packed::kZstd).error().code(),
            Code::kTooLarge);
  EXPECT_FALSE(there("/zeros"));
  EXPECT_EQ(apply({{.name = "zeros", .text = zeros}}, {.bytes = 1 << 20}).error().code(),
            Code::kTooLarge);
  EXPECT_EQ(apply({{.name = "a"}, {.name = "b"}, {.name = "c"}}, {.entries = 2}).error().code(),
            Code::kTooLarge);
}

TEST_F(Image, TheBoundsAreOfAllLayersTogether) {
  const fs::Dir root = fs::Dir::open(at("")).value();
  ImageLayers layers(root, {.bytes = 1500});
  write_layer(folder + "/layer", {{.name = "a", .text = std::string(1000, 'x')}});
  const fs::File layer = fs::open_user_file(folder + "/layer").value();
  EXPECT_TRUE(layers.apply(layer));
  EXPECT_EQ(layers.apply(layer).error().code(), Code::kTooLarge);
}

TEST_F(Image, WhatIsNoTarIsCorrupt) {
  std::ofstream(folder + "/layer") << std::string(2000, 'x');
  EXPECT_EQ(apply_file().error().code(), Code::kCorrupt);
  write_layer(folder + "/layer", {{.name = "a", .text = std::string(100'000, 'y')}}, Packed::kGzip);
  files::resize_file(folder + "/layer", files::file_size(folder + "/layer") / 2);
  EXPECT_EQ(apply_file().error().code(), Code::kCorrupt);
}

// ---- what is in a root -------------------------------------------------------------------------

TEST_F(Image, LinksAreFollowedAsTheEngineSeesThem) {
  ASSERT_TRUE(apply({{.name = "usr/bin/tool", .text = "x", .mode = 0755},
                     {.name = "bin", .type = AE_IFLNK, .link = "/usr/bin"},
                     {.name = "up", .type = AE_IFLNK, .link = "../../../../usr"},
                     {.name = "loop", .type = AE_IFLNK, .link = "loop"}}));
  EXPECT_EQ(resolve_inside(at(""), "/bin/tool"), "/usr/bin/tool");
  EXPECT_EQ(resolve_inside(at(""), "/up/bin/../bin/tool"), "/usr/bin/tool");
  EXPECT_EQ(resolve_inside(at(""), "/../../.."), "");
  EXPECT_EQ(resolve_inside(at(""), "/loop/x"), std::nullopt);
  EXPECT_EQ(resolve_inside(at(""), "/absent"), std::nullopt);
}

TEST_F(Image, TheServerIsFoundByEntryPointOrPlace) {
  ASSERT_TRUE(apply({{.name = "srv/llama-server", .text = "x", .mode = 0755},
                     {.name = "usr/bin/llama-server", .text = "x", .mode = 0755},
                     {.name = "app/llama-server", .text = "not runnable"}}));
  EXPECT_EQ(find_in_image(at(""), {"/srv/llama-server", "--help"}).value(), "/srv/llama-server");
  EXPECT_EQ(find_in_image(at(""), {"/bin/sh"}).value(), "/usr/bin/llama-server");
  EXPECT_EQ(find_in_image(at(""), {}).value(), "/usr/bin/llama-server");
}

TEST_F(Image, AServerThatIsALinkToThisMachineIsNone) {
  ASSERT_TRUE(apply({{.name = "app/llama-server", .type = AE_IFLNK, .link = "/bin/sh"}}));
  const auto found = find_in_image(at(""), {"/app/llama-server"});
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::kUnsupported);
}

TEST_F(Image, ALibraryPathIsPlainFolders) {
  EXPECT_EQ(library_path("/app/llama-server", "/usr/local/cuda/lib64:rel:$X:/a b:"),
            "/app:/usr/local/cuda/lib64");
  EXPECT_EQ(library_path("/llama-server", ""), "");
}

TEST_F(Image, TheSandboxSeesItsFoldersAndNeverFollowsItsLinks) {
  ASSERT_TRUE(apply({{.name = "app/llama-server", .text = "x", .mode = 0755},
                     {.name = "home", .type = AE_IFLNK, .link = "/home"},
                     {.name = "lib", .type = AE_IFLNK, .link = "usr/lib"},
                     {.name = "dev/", .type = AE_IFDIR},
                     {.name = "models/", .type = AE_IFDIR}}));
  const ImageRecord record{.reference = "r/engine:1@sha256:1",
                           .digest = "sha256:1",
                           .program = "/app/llama-server",
                           .libraries = "/app",
                           .version = "1.2"};
  ASSERT_TRUE(write_image_record(folder, record));
  const auto found = root_at(folder, Installation::Origin::kInstalled);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->version, "llama.cpp 1.2 from r/engine:1@sha256:1");
  SandboxPlan plan;
  show_image(*found, plan);
  ASSERT_EQ(plan.mounts.size(), 1u);
  EXPECT_EQ(plan.mounts[0].inside, "/app");
  EXPECT_EQ(plan.links.size(), 2u);
  EXPECT_EQ(plan.program, "/app/llama-server");
  EXPECT_EQ(plan.environment.back(),
            (std::pair<std::string, std::string>{"LD_LIBRARY_PATH", "/app"}));

  LaunchRequest request;
  request.files.model = {folder + "/layer", "model.gguf"};
  request.isolation = Isolation::kNone;
  const auto launched = make_launch(*found, {folder + "/run", "", "/"}, request);
  ASSERT_FALSE(launched);
  EXPECT_EQ(launched.error().code(), Code::kUnsupported);
}

// ---- installing --------------------------------------------------------------------------------

class ImageInstalling : public Image {
 protected:
  void SetUp() override {
    const auto bwrap = process::find_program("bwrap", "/usr/bin:/bin");
    if (!bwrap) GTEST_SKIP() << "bubblewrap is not installed";
    const Status works = loop.run(probe_namespaces(op, loop, *bwrap));
    if (!works) GTEST_SKIP() << works.error().message();
  }
  // A root whose llama-server is this machine's shell with its libraries: it needs no build.
  Result<InstalledRunner> install(const std::string& script, const std::string& digest) {
    const std::string incoming = engines_folder(engines()) + "/.incoming-test";
    files::create_directories(incoming + "/rootfs/app");
    std::ofstream(incoming + "/rootfs/app/llama-server") << script;
    ::chmod((incoming + "/rootfs/app/llama-server").c_str(), 0755);
    for (const char* name : {"bin", "lib", "lib64"})
      files::create_symlink(std::string("usr/") + name, incoming + "/rootfs/" + name);
    for (const char* file : {"/usr/bin/dash", "/usr/bin/sh"}) {
      files::create_directories(incoming + "/rootfs/usr/bin");
      files::copy_file(file, incoming + "/rootfs" + file, files::copy_options::skip_existing);
    }
    for (const auto& [from, to] : libraries()) {
      files::create_directories(files::path(incoming + "/rootfs" + to).parent_path());
      files::copy_file(from, incoming + "/rootfs" + to, files::copy_options::skip_existing);
    }
    auto installed = loop.run(install_image(op, loop,
                                            {.engines_dir = engines(),
                                             .folder = incoming,
                                             .reference = "registry/engine:1",
                                             .digest = digest,
                                             .entrypoint = {"/app/llama-server"},
                                             .library_path = "",
                                             .path = "/usr/bin:/bin"}));
    files::remove_all(incoming);
    return installed;
  }
  std::string engines() const { return folder + "/engines"; }

  rt::Loop loop;
  rt::Op op;

 private:
  // The C library and the loader, wherever this machine has them.
  static std::vector<std::pair<std::string, std::string>> libraries() {
    std::vector<std::pair<std::string, std::string>> found;
    for (const char* path :
         {"/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/aarch64-linux-gnu/libc.so.6",
          "/usr/lib64/ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2",
          "/usr/lib/ld-linux-aarch64.so.1"}) {
      if (!files::exists(path)) continue;
      const std::string inside =
          std::string(path).starts_with("/usr") ? path : std::string("/usr") + path;
      found.emplace_back(path, inside);
    }
    return found;
  }
};

constexpr const char* kWorks = "#!/bin/sh\n[ \"$1\" = --version ] && echo 'version: 9 (abc)' >&2\n";

TEST_F(ImageInstalling, ItIsTriedAndThenPutIntoUse) {
  const auto installed = install(kWorks, "sha256:1111");
  ASSERT_TRUE(installed) << installed.error().message();
  EXPECT_EQ(installed->version, "llama.cpp 9 (abc) from registry/engine:1@sha256:1111");
  EXPECT_TRUE(installed->current);
  EXPECT_EQ(find_llama({"", engines(), ""})->version, installed->version);
  EXPECT_TRUE(image_in_use(engines(), "sha256:1111"));
  EXPECT_FALSE(image_in_use(engines(), "sha256:2222"));
  const auto all = installed_runners(engines()).value();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_TRUE(all[0].current);
  EXPECT_GT(uninstall_runner(engines(), "").value(), 0u);
  EXPECT_TRUE(installed_runners(engines())->empty());
}

TEST_F(ImageInstalling, TheOldOneStaysWhenTheNewOneDoesNotRun) {
  ASSERT_TRUE(install(kWorks, "sha256:1111"));
  const auto refused = install("#!/bin/sh\necho 'no such library' >&2; exit 127\n", "sha256:2222");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kUnavailable);
  EXPECT_NE(refused.error().message().find("no such library"), std::string::npos);
  EXPECT_TRUE(image_in_use(engines(), "sha256:1111"));
}

}  // namespace
}  // namespace berth::engine
