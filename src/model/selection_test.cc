#include "model/selection.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "model/media.h"

namespace berth::model {
namespace {

using Names = std::vector<std::string>;

File file(const std::string& path, Role role = Role::kOther, const std::string& bytes = "") {
  File made{.path = path, .role = role};
  made.descriptor = oci::describe(bytes.empty() ? path : bytes, "application/x");
  made.descriptor.annotations[std::string(annotation::kFilePath)] = path;
  return made;
}
Model model_of(std::vector<File> files) {
  Model model;
  model.config = oci::describe("{}", "config");
  model.files = std::move(files);
  return model;
}
Result<Selection> select(const Model& model, const Names& patterns) {
  std::vector<Glob> include;
  for (const std::string& pattern : patterns) include.push_back(Glob::parse(pattern).value());
  return select_files(model, include);
}
Names left_out_by(const Model& model, const Names& patterns) {
  return paths_of(model, select(model, patterns).value().unwanted);
}
std::set<oci::Digest> blobs(const Names& paths) {
  std::set<oci::Digest> all;
  for (const std::string& path : paths) all.insert(oci::Digest::of(as_bytes(path)));
  return all;
}

TEST(Selection, TakesWhatAnyPatternAsksFor) {
  const Model model = model_of({file("config.json"), file("onnx/model.onnx"), file("a.bin")});
  EXPECT_EQ(left_out_by(model, {"*.json"}), (Names{"onnx/model.onnx", "a.bin"}));
  EXPECT_EQ(left_out_by(model, {"*.json", "onnx/**"}), Names{"a.bin"});
  EXPECT_EQ(left_out_by(model, {"**"}), Names{});
  EXPECT_EQ(select(model, {"*.json", "*.txt"}).value().unmatched, Names{"*.txt"});
}

TEST(Selection, AlwaysTakesLayersWithoutAPath) {
  File nameless = file("model.gguf");
  nameless.descriptor.annotations.clear();
  const Model model = model_of({nameless, file("a.bin"), file("b.bin")});
  EXPECT_EQ(left_out_by(model, {"a.bin"}), Names{"b.bin"});
  // A name that it was given here is not one to choose by.
  const auto refused = select(model_of({nameless}), {"model.gguf"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kInvalid);
}

TEST(Selection, ABlobThatIsAlsoAWantedFileIsWanted) {
  const Model model = model_of({file("a", Role::kOther, "same"), file("b", Role::kOther, "same"),
                                file("empty.json", Role::kConfig, "{}"), file("c")});
  EXPECT_EQ(left_out_by(model, {"b"}), Names{"c"});
}

TEST(Selection, NothingAskedForNamesWhatThereIs) {
  std::vector<File> files;
  for (int i = 0; i < 25; ++i) files.push_back(file(fmt::format("{}.bin", i)));
  const auto refused = select(model_of(std::move(files)), {"*.json", "x\x1b"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kInvalid);
  EXPECT_TRUE(refused.error().message().starts_with(
      "no file of the model matches *.json and x\\x1b; it has 0.bin, 1.bin"))
      << refused.error().message();
  EXPECT_TRUE(refused.error().message().ends_with("19.bin and 5 more"));
}

TEST(Selection, AnEngineMissesTheOnlyOneOfItsKindAndPartsOfASplitModel) {
  const Model model = model_of({
      file("q4.gguf", Role::kWeights),
      file("q8-00001-of-00002.gguf", Role::kWeights),
      file("q8-00002-of-00002.gguf", Role::kWeights),
      file("mmproj.gguf", Role::kMmproj),
      file("LICENSE", Role::kLicense),
  });
  const Names big{"q8-00001-of-00002.gguf", "q8-00002-of-00002.gguf"};
  EXPECT_EQ(missed_by_engine(model, blobs({big[0], big[1], "LICENSE"})), Names{});
  EXPECT_EQ(missed_by_engine(model, blobs({"q4.gguf", big[1]})), Names{big[1]});
  EXPECT_EQ(missed_by_engine(model, blobs({"mmproj.gguf"})), Names{"mmproj.gguf"});
  EXPECT_EQ(missed_by_engine(model, blobs({"q4.gguf", big[0], big[1]})),
            (Names{"q4.gguf", big[0], big[1]}));
  EXPECT_EQ(without_files(model, blobs({"q4.gguf", "LICENSE"})).files.size(), 3u);
}

TEST(Selection, NamesForASentence) {
  EXPECT_EQ(some_of({"a"}, 3), "a");
  EXPECT_EQ(some_of({"a", "b", "c"}, 3), "a, b and c");
  EXPECT_EQ(some_of({"a", "b", "c", "d"}, 2), "a, b and 2 more");
}

}  // namespace
}  // namespace berth::model
