#include "store/store_fixture.h"

namespace berth::store {
namespace {

using ModelsTest = StoreTest;

TEST_F(ModelsTest, ListsWhatWasTagged) {
  const auto a = make_model(from_, {"a"});
  ASSERT_TRUE(bring(a, "ai/a"));
  ASSERT_TRUE(run(store_->tag(op_, a, reference("example.com/team/a:v1"))));
  ASSERT_TRUE(bring(make_model(from_, {"untagged"}), ""));  // a manifest alone is no model
  const auto models = list();
  ASSERT_EQ(models.size(), 1U);
  EXPECT_EQ(models[0].id, a.digest);
  EXPECT_EQ(models[0].media_type, oci::media::kManifest);
  EXPECT_EQ(models[0].size, 3U);  // "{}" and "a"
  ASSERT_EQ(models[0].tags.size(), 2U);
  EXPECT_EQ(models[0].tags[0].string(), "docker.io/ai/a:latest");
  EXPECT_EQ(models[0].tags[1].string(), "example.com/team/a:v1");
}

TEST_F(ModelsTest, ATagMovesAndItsOldModelStays) {
  const auto a = make_model(from_, {"a"});
  const auto b = make_model(from_, {"b"});
  ASSERT_TRUE(bring(a, "ai/x"));
  ASSERT_TRUE(bring(b, "ai/x"));
  EXPECT_EQ(run(store_->resolve(op_, reference("ai/x"))).value().digest, b.digest);
  EXPECT_EQ(list().size(), 2U);
  EXPECT_TRUE(find(a.digest.short_hex())->record.tags.empty());
}

TEST_F(ModelsTest, TagsOnlyWhatIsWhole) {
  const auto a = make_model(from_, {"a"});
  EXPECT_EQ(run(store_->tag(op_, a, reference("ai/x"))).error().code(), Code::kConflict);
  EXPECT_EQ(run(store_->resolve(op_, reference("ai/x"))).error().code(), Code::kNotFound);
}

TEST_F(ModelsTest, IsFoundByIdPrefixReferenceAndLastComponent) {
  const auto a = make_model(from_, {"a"});
  ASSERT_TRUE(bring(a, "example.com/team/smol:latest"));
  for (const std::string& name :
       {a.digest.short_hex(), std::string(a.digest.hex()), a.digest.string(),
        std::string("example.com/team/smol"), "example.com/team/smol@" + a.digest.string(),
        std::string("smol")}) {
    const auto found = find(name);
    ASSERT_TRUE(found) << name;
    EXPECT_EQ(found->record.id, a.digest) << name;
  }
  EXPECT_EQ(find("smol")->tag->string(), "example.com/team/smol:latest");
  EXPECT_FALSE(find(a.digest.short_hex())->tag);
  EXPECT_FALSE(find("smol:other"));
  EXPECT_FALSE(find("other/smol"));
}

TEST_F(ModelsTest, AnAmbiguousNameNamesTheCandidates) {
  ASSERT_TRUE(bring(make_model(from_, {"a"}), "example.com/a/smol"));
  ASSERT_TRUE(bring(make_model(from_, {"b"}), "example.com/b/smol"));
  const auto found = run(store_->find(op_, oci::parse_model_name("smol").value()));
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::kConflict);
  EXPECT_NE(found.error().message().find("example.com/a/smol, example.com/b/smol"),
            std::string::npos)
      << found.error().message();
}

TEST_F(ModelsTest, TwoTagsOfOneModelAreNotAmbiguous) {
  const auto a = make_model(from_, {"a"});
  ASSERT_TRUE(bring(a, "example.com/a/smol"));
  ASSERT_TRUE(bring(a, "example.com/b/smol"));
  EXPECT_EQ(find("smol")->record.id, a.digest);
}

TEST_F(ModelsTest, AnIndexStandsForItsChosenManifest) {
  const auto mine = make_model(from_, {"mine"});
  const auto index = make_index(from_, {make_model(from_, {"other"}), mine});
  ASSERT_TRUE(bring(mine, ""));
  ASSERT_TRUE(put(index));
  ASSERT_TRUE(run(store_->set_selected(op_, index.digest, mine.digest)));
  ASSERT_TRUE(run(store_->tag(op_, index, reference("ai/multi"))));
  EXPECT_EQ(run(store_->resolve(op_, reference("ai/multi"))).value().digest, index.digest);
  EXPECT_EQ(find("ai/multi")->record.id, mine.digest);
  EXPECT_EQ(find("ai/multi@" + index.digest.string())->record.id, mine.digest);
  EXPECT_EQ(find(index.digest.short_hex())->record.id, mine.digest);
  EXPECT_EQ(list().size(), 1U);
}

TEST_F(ModelsTest, OnlyAManifestOfTheStoreCanBeChosen) {
  const auto mine = make_model(from_, {"mine"});
  const auto index = make_index(from_, {mine});
  ASSERT_TRUE(put(index));
  EXPECT_EQ(run(store_->set_selected(op_, index.digest, mine.digest)).error().code(),
            Code::kConflict);
  EXPECT_EQ(run(store_->set_selected(op_, index.digest, index.digest)).error().code(),
            Code::kConflict);
  EXPECT_EQ(run(store_->tag(op_, index, reference("ai/multi"))).error().code(), Code::kConflict);
}

TEST_F(ModelsTest, UntagSaysWhetherItWasTheLast) {
  const auto a = make_model(from_, {"a"});
  ASSERT_TRUE(bring(a, "ai/a"));
  ASSERT_TRUE(bring(a, "ai/b"));
  EXPECT_FALSE(run(store_->untag(op_, reference("ai/a"))).value().last);
  EXPECT_TRUE(run(store_->untag(op_, reference("ai/b"))).value().last);
  EXPECT_EQ(run(store_->untag(op_, reference("ai/b"))).error().code(), Code::kNotFound);
  EXPECT_EQ(list().size(), 1U);
}

TEST_F(ModelsTest, ADigestReferenceIsAName) {
  const auto a = make_model(from_, {"a"});
  ASSERT_TRUE(bring(a, "ai/a@" + a.digest.string()));
  ASSERT_EQ(list()[0].tags.size(), 1U);
  EXPECT_EQ(list()[0].tags[0].string(), "docker.io/ai/a@" + a.digest.string());
}

TEST_F(ModelsTest, MetadataComesWithTheList) {
  const auto a = make_model(from_, {"a"});
  ASSERT_TRUE(bring(a, "ai/a"));
  ASSERT_TRUE(run(store_->set_metadata(op_, a.digest, R"({"x":1})")));
  EXPECT_EQ(list()[0].metadata, R"({"x":1})");
  EXPECT_EQ(run(store_->set_metadata(op_, oci::Digest::of({}), "")).error().code(),
            Code::kNotFound);
}

TEST_F(ModelsTest, SettingsLast) {
  ASSERT_TRUE(run(store_->set_setting(op_, "configure", "m", "1")));
  ASSERT_TRUE(run(store_->set_setting(op_, "configure", "m", "2")));
  ASSERT_TRUE(run(store_->set_setting(op_, "other", "m", "3")));
  open();
  EXPECT_EQ(run(store_->setting(op_, "configure", "m")).value(), "2");
  EXPECT_EQ(run(store_->settings(op_, "configure")).value().size(), 1U);
  ASSERT_TRUE(run(store_->erase_setting(op_, "configure", "m")));
  EXPECT_EQ(run(store_->setting(op_, "configure", "m")).value(), std::nullopt);
}

TEST_F(ModelsTest, TheIndexViewNamesEveryTag) {
  const auto a = make_model(from_, {"a"});
  ASSERT_TRUE(bring(a, "ai/a"));
  ASSERT_TRUE(run(store_->write_index(op_)));
  const auto index =
      oci::parse_index(read_file(root() + "/index.json"), oci::media::kIndex).value();
  ASSERT_EQ(index.manifests.size(), 1U);
  EXPECT_EQ(index.manifests[0].digest, a.digest);
  EXPECT_EQ(index.manifests[0].annotation(oci::annotation::kRefName), "docker.io/ai/a:latest");
  EXPECT_EQ(read_file(root() + "/oci-layout"), R"({"imageLayoutVersion":"1.0.0"})");
}

}  // namespace
}  // namespace berth::store
