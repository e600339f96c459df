#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include "formats/classify.h"
#include "formats/test_gguf.h"

namespace berth::formats {
namespace {

using testing::put;
using testing::safetensors_file;
using testing::tiny_safetensors;

Result<Safetensors> read(const std::string& bytes) { return read_safetensors(MemoryAccess(bytes)); }

TEST(Safetensors, ReadsTensorsAndMetadata) {
  const auto file = read(tiny_safetensors());
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(file->parameters, 7U);
  EXPECT_EQ(file->dtype, "F16");
  EXPECT_EQ(file->metadata.at("format"), "pt");
  EXPECT_EQ(file->tensors[1].begin, 12U);
}

TEST(Safetensors, AcceptsPaddingScalarsEmptyAndSubByteTensors) {
  EXPECT_TRUE(read(safetensors_file("{}   ", 0)));
  EXPECT_TRUE(
      read(safetensors_file(R"({"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4)));
  EXPECT_TRUE(
      read(safetensors_file(R"({"e":{"dtype":"F32","shape":[0,9],"data_offsets":[0,0]}})", 0)));
  EXPECT_TRUE(
      read(safetensors_file(R"({"q":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}})", 2)));
  // An empty tensor at the start of another one.
  EXPECT_TRUE(read(safetensors_file(R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                                    R"("a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                                    2)));
}

struct Refusal {
  const char* name;
  std::string bytes;
  Code code;
  const char* says;
};
std::string declared(std::uint64_t length, std::string_view rest) {
  std::string out;
  put(out, length);
  return out + std::string(rest);
}
std::string tensor(std::string_view dtype, std::string_view shape, std::string_view offsets,
                   std::uint64_t data) {
  return safetensors_file(fmt::format(R"({{"t":{{"dtype":"{}","shape":{},"data_offsets":{}}}}})",
                                      dtype, shape, offsets),
                          data);
}

const Refusal kRefusals[] = {
    {"HeaderTooSmall", "1234567", Code::kCorrupt, "too few"},
    {"HeaderTooLarge", declared(100'000'001, "{}"), Code::kCorrupt, "the format allows"},
    {"HeaderLengthWraps", declared(UINT64_MAX, "{}"), Code::kCorrupt, "the format allows"},
    {"InvalidHeaderLength", declared(3, "{}"), Code::kCorrupt, "2 remain"},
    {"EmptyHeader", declared(0, ""), Code::kCorrupt, "opening brace"},
    {"LeadingSpace", safetensors_file(" {}", 0), Code::kCorrupt, "opening brace"},
    {"TrailingNewline", safetensors_file("{}\n", 0), Code::kCorrupt, "other than spaces"},
    {"TrailingText", safetensors_file("{}x", 0), Code::kCorrupt, "other than spaces"},
    {"NotUtf8", safetensors_file("{\"\xFF\":1}", 0), Code::kCorrupt, ""},
    {"Deserialization", safetensors_file("{\"a\"}", 0), Code::kCorrupt, ""},
    {"SameNameTwice",
     safetensors_file(
         R"({"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
         0),
     Code::kCorrupt, ""},
    {"Deep", safetensors_file("{\"t\":" + std::string(50, '[') + std::string(50, ']') + "}", 0),
     Code::kTooLarge, ""},
    {"MetadataNumber", safetensors_file(R"({"__metadata__":{"a":5}})", 0), Code::kCorrupt,
     "__metadata__"},
    {"MetadataArray", safetensors_file(R"({"__metadata__":[]})", 0), Code::kCorrupt,
     "__metadata__"},
    {"NoDtype", safetensors_file(R"({"t":{"shape":[1],"data_offsets":[0,1]}})", 1), Code::kCorrupt,
     "dtype"},
    {"UnknownDtype", tensor("F7", "[1]", "[0,1]", 1), Code::kUnsupported, "F7"},
    {"NegativeShape", tensor("U8", "[-1]", "[0,1]", 1), Code::kCorrupt, "shape"},
    {"OverflowingShape", tensor("U8", "[4294967296,4294967296,16]", "[0,1]", 1), Code::kCorrupt,
     "2^63"},
    {"OverflowingShapeWithZero", tensor("U8", "[9223372036854775807,4,0]", "[0,0]", 0),
     Code::kCorrupt, "2^63"},
    {"ThreeOffsets", tensor("U8", "[1]", "[0,1,2]", 1), Code::kCorrupt, "more than the 2"},
    {"OneOffset", tensor("U8", "[1]", "[0]", 1), Code::kCorrupt, "two numbers"},
    {"ManyDims",
     tensor("U8", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,1]",
            1),
     Code::kCorrupt, "more than the 32"},
    {"EndBeforeBegin", tensor("U8", "[1]", "[1,0]", 1), Code::kCorrupt, "before it begins"},
    {"TensorInvalidInfo", tensor("F32", "[2]", "[0,4]", 4), Code::kCorrupt, "not by its shape"},
    {"MisalignedSlice", tensor("F4", "[3]", "[0,2]", 2), Code::kCorrupt, "whole bytes"},
    {"StartHole", tensor("U8", "[1]", "[1,2]", 2), Code::kCorrupt, "begins at 1"},
    {"Hole",
     safetensors_file(
         R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
         3),
     Code::kCorrupt, "begins at 2"},
    {"Overlap",
     safetensors_file(
         R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
         3),
     Code::kCorrupt, "begins at 1"},
    {"MetadataIncompleteBuffer", tensor("U8", "[4]", "[0,4]", 3), Code::kCorrupt,
     "take 4 bytes and the file holds 3"},
    {"TrailingData", tensor("U8", "[4]", "[0,4]", 5), Code::kCorrupt, "the file holds 5"},
};
class SafetensorsRefusal : public ::testing::TestWithParam<Refusal> {};
TEST_P(SafetensorsRefusal, IsRefusedWithItsReason) {
  const auto file = read(GetParam().bytes);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), GetParam().code) << file.error().message();
  EXPECT_NE(file.error().message().find(GetParam().says), std::string::npos)
      << file.error().message();
}
INSTANTIATE_TEST_SUITE_P(Rules, SafetensorsRefusal, ::testing::ValuesIn(kRefusals),
                         [](const auto& param) { return std::string(param.param.name); });

TEST(Safetensors, AHeaderOverOurBoundIsTooLarge) {
  const std::string header = "{" + std::string(40'000'000, ' ') + "}";
  EXPECT_EQ(read(safetensors_file(header, 0)).error().code(), Code::kTooLarge);
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const std::string bytes = tiny_safetensors();
  for (std::size_t length = 0; length < bytes.size(); ++length)
    EXPECT_FALSE(read(bytes.substr(0, length))) << length;
}

TEST(HuggingFaceConfig, ReadsWhatItKnows) {
  const auto config = read_huggingface_config(
      R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","torch_dtype":"bfloat16",
          "max_position_embeddings":8192,"quantization_config":{"quant_method":"awq"}})");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->architecture, "LlamaForCausalLM");
  EXPECT_EQ(config->dtype, "bfloat16");
  EXPECT_EQ(config->quantization, "awq");
  EXPECT_EQ(config->context_length, 8192U);
}

TEST(HuggingFaceConfig, TakesTheNextKeyWhenOneIsNoNumber) {
  EXPECT_EQ(
      read_huggingface_config(R"({"max_position_embeddings":1e30,"n_ctx":77})")->context_length,
      77U);
  EXPECT_EQ(
      read_huggingface_config(R"({"text_config":{"max_position_embeddings":9}})")->context_length,
      9U);
  EXPECT_EQ(read_huggingface_config("{}")->context_length, std::nullopt);
  EXPECT_FALSE(read_huggingface_config("[]"));
}

TEST(SafetensorsIndex, ListsItsFilesAndRefusesOthers) {
  EXPECT_EQ(read_safetensors_index(
                R"({"weight_map":{"a":"2.safetensors","b":"1.safetensors","c":"1.safetensors"}})")
                .value(),
            (std::vector<std::string>{"1.safetensors", "2.safetensors"}));
  for (const char* name : {"../x", "/etc/passwd", "a/../../b", ""}) {
    EXPECT_FALSE(read_safetensors_index(fmt::format(R"({{"weight_map":{{"a":"{}"}}}})", name)))
        << name;
  }
  EXPECT_FALSE(read_safetensors_index("{}"));
}

TEST(Classify, FollowsTheRulesOfDockerModelRunner) {
  EXPECT_EQ(classify("a/Model.GGUF"), FileClass::kGguf);
  EXPECT_EQ(classify("x.safetensors"), FileClass::kSafetensors);
  EXPECT_EQ(classify("x.dduf"), FileClass::kDduf);
  EXPECT_EQ(classify("chat.jinja"), FileClass::kChatTemplate);
  EXPECT_EQ(classify("chat_template.json"), FileClass::kChatTemplate);
  EXPECT_EQ(classify("LICENSE"), FileClass::kLicense);
  EXPECT_EQ(classify("license_notes.json"), FileClass::kLicense);
  EXPECT_EQ(classify("tokenizer.model"), FileClass::kConfig);
  EXPECT_EQ(classify("config.json"), FileClass::kConfig);
  EXPECT_EQ(classify("README.md"), FileClass::kDoc);
  EXPECT_EQ(classify("modeling.py"), FileClass::kCode);
  EXPECT_EQ(classify("licenses/weights.bin"), FileClass::kOther);
}

TEST(ShardName, IsReadAndMade) {
  const auto name = parse_shard_name("dir/m-00002-of-00005.gguf");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->number, 2U);
  EXPECT_EQ(name->count, 5U);
  EXPECT_EQ(name->of(1), "dir/m-00001-of-00005.gguf");
  for (const char* other :
       {"m.gguf", "m-00000-of-00002.gguf", "m-00003-of-00002.gguf", "m-0001-of-0002.gguf",
        "-00001-of-00002", "m-00001-of-00002.txt", "m-0000a-of-00002.gguf"}) {
    EXPECT_FALSE(parse_shard_name(other)) << other;
  }
}

}  // namespace
}  // namespace berth::formats
