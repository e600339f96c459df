#include "formats/gguf.h"

#include <functional>
#include <gtest/gtest.h>

#include "formats/test_gguf.h"

namespace berth::formats {
namespace {

using testing::GgufBuilder;
using testing::put;
using testing::put_string;
using testing::tiny_llama;

Result<Gguf> read(const std::string& bytes) { return read_gguf(MemoryAccess(bytes)); }

TEST(Gguf, ReadsAWholeHeader) {
  const auto gguf = read(tiny_llama().build());
  ASSERT_TRUE(gguf) << gguf.error().message();
  EXPECT_EQ(gguf->version, 3U);
  EXPECT_EQ(gguf->tensors.size(), 4U);
  EXPECT_EQ(gguf->tensors[0].bytes, 128U);
  EXPECT_EQ(gguf->trailing_bytes, 0U);
  EXPECT_EQ(gguf->text("general.name"), "tiny");
  EXPECT_EQ(gguf->data_offset % 32, 0U);
}

TEST(Gguf, TellsWhatTheModelIs) {
  const auto gguf = read(tiny_llama().build());
  ASSERT_TRUE(gguf);
  const GgufFacts facts = gguf_facts(*gguf);
  EXPECT_EQ(facts.architecture, "llama");
  EXPECT_EQ(facts.quantization, "F16");
  EXPECT_EQ(facts.parameters, 16U * 4 + 2 * 16 * 16 + 16);
  EXPECT_EQ(facts.context_length, 2048U);
  EXPECT_EQ(facts.head_count, 4U);
  EXPECT_EQ(facts.kv_head_count, 2U);
  EXPECT_EQ(facts.vocabulary, 4U);
  EXPECT_EQ(facts.chat_template, "{{ messages }}");
  EXPECT_EQ(facts.split_count, 1U);
  EXPECT_FALSE(facts.is_lora());
  EXPECT_FALSE(facts.is_projector());
}

TEST(Gguf, KnowsAdaptersAndProjectors) {
  const auto lora =
      read(GgufBuilder().text("general.type", "adapter").text("adapter.type", "lora").build());
  ASSERT_TRUE(lora);
  EXPECT_TRUE(gguf_facts(*lora).is_lora());
  const auto clip = read(GgufBuilder().text("general.architecture", "clip").build());
  ASSERT_TRUE(clip);
  EXPECT_TRUE(gguf_facts(*clip).is_projector());
}

TEST(Gguf, NamesQuantizationByFileTypeElseByMostBytes) {
  EXPECT_EQ(gguf_file_type_name(15), "Q4_K_M");
  EXPECT_EQ(gguf_file_type_name(1024 + 15), "Q4_K_M");
  EXPECT_EQ(gguf_file_type_name(5), "");
  const auto gguf = read(GgufBuilder().tensor("a", {32}, 0).tensor("b", {256, 64}, 12).build());
  ASSERT_TRUE(gguf);
  EXPECT_EQ(gguf_facts(*gguf).quantization, "Q4_K");
}

TEST(Gguf, HeadsPerLayerCountTheMost) {
  const auto gguf = read(GgufBuilder()
                             .text("general.architecture", "x")
                             .u32s("x.attention.head_count_kv", {2, 8, 4})
                             .build());
  ASSERT_TRUE(gguf);
  EXPECT_EQ(gguf_facts(*gguf).kv_head_count, 8U);
}

TEST(Gguf, StringsLeaveOutLongArraysAndAreUtf8) {
  GgufBuilder builder;
  builder.u32s("short", {1, 2})
      .u32s("long", std::vector<std::uint32_t>(51, 1))
      .flag("yes", 1)
      .f32("half", 0.5F);
  builder.text("broken", "a\xFF\xC0z").raw<std::int32_t>("minus", 5, -3);
  const auto gguf = read(builder.build());
  ASSERT_TRUE(gguf) << gguf.error().message();
  const auto strings = gguf_strings(*gguf);
  EXPECT_EQ(strings.at("short"), "1, 2");
  EXPECT_EQ(strings.count("long"), 0U);
  EXPECT_EQ(strings.at("yes"), "true");
  EXPECT_EQ(strings.at("half"), "0.500000");
  EXPECT_EQ(strings.at("minus"), "-3");
  EXPECT_EQ(strings.at("broken"), "a\uFFFD\uFFFDz");
}

TEST(Gguf, BigArraysAreCountedAndSkipped) {
  GgufBuilder builder;
  builder.texts("tokenizer.ggml.tokens", std::vector<std::string>(5000, "tok")).u32("after", 7);
  const auto gguf = read(builder.build());
  ASSERT_TRUE(gguf) << gguf.error().message();
  const auto& array = std::get<GgufArray>(gguf->find("tokenizer.ggml.tokens")->value);
  EXPECT_EQ(array.count, 5000U);
  EXPECT_TRUE(array.values.empty());
  EXPECT_EQ(gguf->number("after"), 7U);
}

TEST(Gguf, StringsOfEveryLengthAreSkippedAcrossBuffers) {
  std::vector<std::string> words;
  for (std::size_t i = 0; i < 6000; ++i) words.emplace_back(i % 311, 'x');
  words[3000] = std::string(600'000, 'y');  // longer than any buffer
  GgufBuilder builder;
  builder.texts("words", words).u32("after", 7);
  const auto gguf = read(builder.build());
  ASSERT_TRUE(gguf) << gguf.error().message();
  EXPECT_EQ(gguf->number("after"), 7U);
}

TEST(Gguf, ManySmallArraysAreBounded) {
  GgufBuilder builder;
  const std::string values(1024, '\1');
  for (int i = 0; i < 5000; ++i) {
    std::string head;
    put<std::uint32_t>(head, 0);
    put<std::uint64_t>(head, values.size());
    builder.bytes(std::to_string(i), 9, head + values);
  }
  EXPECT_EQ(read(builder.build()).error().code(), Code::kTooLarge);
}

TEST(Gguf, ReportsTrailingBytesWithoutRefusing) {
  const auto gguf = read(tiny_llama().build() + "extra");
  ASSERT_TRUE(gguf);
  EXPECT_EQ(gguf->trailing_bytes, 5U);
}

TEST(Gguf, TheLastTensorNeedsNoPadding) {
  std::string bytes = GgufBuilder().tensor("a", {3}).build();
  bytes.resize(bytes.size() - 20);  // 12 bytes of data remain
  EXPECT_TRUE(read(bytes));
}

TEST(Gguf, AcceptsOtherAlignmentsScalarsAndEmptyTensors) {
  GgufBuilder aligned = tiny_llama();
  aligned.u32("general.alignment", 64);
  aligned.alignment = 64;
  EXPECT_TRUE(read(aligned.build()));
  EXPECT_TRUE(read(GgufBuilder().tensor("scalar", {}).build()));
  EXPECT_TRUE(read(GgufBuilder().tensor("empty", {0, 5}).build()));
  GgufBuilder old;
  old.version = 2;
  EXPECT_TRUE(read(old.build()));
}

// Every way to be malformed that the rules name, with the words that must be in the refusal.
struct Refusal {
  const char* name;
  std::function<std::string()> bytes;
  Code code;
  const char* says;
};

std::string with(std::function<void(GgufBuilder&)> change) {
  GgufBuilder builder;
  change(builder);
  return builder.build();
}
std::string key_bytes(std::uint64_t declared, std::string_view key) {
  std::string out = "GGUF";
  put<std::uint32_t>(out, 3);
  put<std::int64_t>(out, 0);
  put<std::int64_t>(out, 1);
  put(out, declared);
  out += key;
  out.append(64, '\0');
  return out;
}

const Refusal kRefusals[] = {
    {"Empty", [] { return std::string(); }, Code::kCorrupt, "ends inside the GGUF magic"},
    {"FourBytes", [] { return std::string("GGUF"); }, Code::kCorrupt,
     "ends inside the GGUF version"},
    {"Magic", [] { return with([](auto& b) { b.magic = "GGML"; }); }, Code::kCorrupt,
     "not a GGUF file"},
    {"VersionZero", [] { return with([](auto& b) { b.version = 0; }); }, Code::kUnsupported,
     "version 0"},
    {"VersionOne", [] { return with([](auto& b) { b.version = 1; }); }, Code::kUnsupported,
     "version 1"},
    {"VersionFour", [] { return with([](auto& b) { b.version = 4; }); }, Code::kUnsupported,
     "version 4"},
    {"Swapped", [] { return with([](auto& b) { b.version = 0x03000000; }); }, Code::kUnsupported,
     "big-endian"},
    {"NegativeTensors", [] { return with([](auto& b) { b.declared_tensors = -1; }); },
     Code::kCorrupt, "-1 tensors"},
    {"ManyTensors", [] { return with([](auto& b) { b.declared_tensors = 1LL << 60; }); },
     Code::kCorrupt, "tensors"},
    {"NegativeKeys", [] { return with([](auto& b) { b.declared_keys = -1; }); }, Code::kCorrupt,
     "-1 metadata keys"},
    {"ManyKeys", [] { return with([](auto& b) { b.declared_keys = 1LL << 60; }); }, Code::kCorrupt,
     "metadata keys"},
    {"OverOurBound",
     [] {
       GgufBuilder builder;
       builder.declared_keys = 100'000;
       return builder.build() + std::string(2'000'000, '\0');
     },
     Code::kTooLarge, "at most"},
    {"EmptyKey", [] { return key_bytes(0, ""); }, Code::kCorrupt, "key is 0 bytes"},
    {"LongKey", [] { return key_bytes(65'536, "x"); }, Code::kCorrupt, "65536 bytes"},
    {"KeyPastEnd", [] { return key_bytes(1000, "x"); }, Code::kCorrupt, "ends inside"},
    {"SameKeyTwice", [] { return with([](auto& b) { b.u32("a", 1).u32("a", 2); }); },
     Code::kCorrupt, "comes twice"},
    {"ValueType", [] { return with([](auto& b) { b.bytes("a", 13, "xxxx"); }); }, Code::kCorrupt,
     "value type 13"},
    {"Boolean", [] { return with([](auto& b) { b.flag("a", 2); }); }, Code::kCorrupt,
     "boolean of value 2"},
    {"LongString",
     [] { return with([](auto& b) { b.template raw<std::uint64_t>("a", 8, 1ULL << 62); }); },
     Code::kCorrupt, "declares a string"},
    {"WrappingString",
     [] { return with([](auto& b) { b.template raw<std::uint64_t>("a", 8, UINT64_MAX - 3); }); },
     Code::kCorrupt, "declares a string"},
    {"ArrayOfArrays", [] { return with([](auto& b) { b.begin_array("a", 9, 1); }); },
     Code::kCorrupt, "array of arrays"},
    {"ArrayElementType", [] { return with([](auto& b) { b.begin_array("a", 99, 1); }); },
     Code::kCorrupt, "value type 99"},
    {"LongArray", [] { return with([](auto& b) { b.begin_array("a", 10, 1ULL << 61); }); },
     Code::kCorrupt, "declares an array"},
    {"LongStringArray", [] { return with([](auto& b) { b.begin_array("a", 8, 1ULL << 61); }); },
     Code::kCorrupt, "declares an array"},
    {"ArrayElementPastEnd",
     [] {
       std::string elements;
       for (int i = 0; i < 2000; ++i) put_string(elements, "x");
       std::string head;
       put<std::uint32_t>(head, 8);
       put<std::uint64_t>(head, 2001);
       put<std::uint64_t>(elements, 1ULL << 60);
       return with([&](auto& b) { b.bytes("a", 9, head + elements); });
     },
     Code::kCorrupt, "ends inside"},
    {"AlignmentType",
     [] {
       return with([](auto& b) { b.template raw<std::uint64_t>("general.alignment", 10, 32); });
     },
     Code::kCorrupt, "unsigned 32-bit"},
    {"AlignmentZero", [] { return with([](auto& b) { b.u32("general.alignment", 0); }); },
     Code::kCorrupt, "power of two"},
    {"AlignmentOdd", [] { return with([](auto& b) { b.u32("general.alignment", 33); }); },
     Code::kCorrupt, "power of two"},
    {"AlignmentHuge", [] { return with([](auto& b) { b.u32("general.alignment", 1U << 31); }); },
     Code::kCorrupt, "power of two"},
    {"SplitNumber",
     [] { return with([](auto& b) { b.u32("split.no", 3).u32("split.count", 3); }); },
     Code::kCorrupt, "part 3 of 3"},
    {"EmptyTensorName", [] { return with([](auto& b) { b.tensor("", {1}); }); }, Code::kCorrupt,
     "name is 0 bytes"},
    {"LongTensorName", [] { return with([](auto& b) { b.tensor(std::string(64, 'n'), {1}); }); },
     Code::kCorrupt, "name is 64 bytes"},
    {"SameTensorTwice", [] { return with([](auto& b) { b.tensor("t", {8}).tensor("t", {8}); }); },
     Code::kCorrupt, "comes twice"},
    {"FiveDims",
     [] { return with([](auto& b) { b.tensor({.name = "t", .dims = {1, 1, 1, 1, 1}}); }); },
     Code::kCorrupt, "5 dimensions"},
    {"NegativeDim",
     [] { return with([](auto& b) { b.tensor({.name = "t", .dims = {-1}, .type = 5}); }); },
     Code::kCorrupt, "dimension -1"},
    {"OverflowingDims",
     [] {
       return with(
           [](auto& b) { b.tensor({.name = "t", .dims = {1LL << 31, 1LL << 31, 4}, .type = 5}); });
     },
     Code::kCorrupt, "2^63"},
    {"OverflowingDimsWithZero",
     [] {
       return with([](auto& b) { b.tensor({.name = "t", .dims = {1LL << 62, 4, 0}, .type = 5}); });
     },
     Code::kCorrupt, "2^63"},
    {"TensorType", [] { return with([](auto& b) { b.tensor("t", {32}, 31); }); },
     Code::kUnsupported, "type 31"},
    {"TensorTypeFar", [] { return with([](auto& b) { b.tensor("t", {32}, 4'000'000); }); },
     Code::kUnsupported, "type 4000000"},
    {"HalfBlock", [] { return with([](auto& b) { b.tensor("t", {33}, 2); }); }, Code::kCorrupt,
     "no multiple of the 32"},
    {"OverflowingBytes",
     [] {
       GgufBuilder builder;
       builder.tensor({.name = "t", .dims = {1LL << 62}, .type = 0});
       return builder.header();
     },
     Code::kCorrupt, "bigger than any file"},
    {"SumOverflows",
     [] {
       GgufBuilder builder;
       builder.tensor({.name = "a", .dims = {(1LL << 61) - 64}, .type = 0});
       builder.tensor({.name = "b", .dims = {64}, .type = 0});
       builder.tensor({.name = "c", .dims = {1LL << 60}, .type = 0});
       return builder.header();
     },
     Code::kCorrupt, "bigger than any file"},
    {"Gap",
     [] {
       return with(
           [](auto& b) { b.tensor("a", {8}).tensor({.name = "b", .dims = {8}, .offset = 64}); });
     },
     Code::kCorrupt, "begins at offset 64"},
    {"Overlap",
     [] {
       return with(
           [](auto& b) { b.tensor("a", {16}).tensor({.name = "b", .dims = {8}, .offset = 32}); });
     },
     Code::kCorrupt, "begins at offset 32"},
    {"FirstOffset",
     [] {
       return with([](auto& b) { b.tensor({.name = "a", .dims = {8}, .offset = 1ULL << 40}); });
     },
     Code::kCorrupt, "is the next free one"},
    {"DataPastEnd",
     [] {
       std::string bytes = tiny_llama().build();
       bytes.resize(bytes.size() - 64);
       return bytes;
     },
     Code::kCorrupt, "cut short"},
    {"NoDataAtAll", [] { return GgufBuilder().tensor("a", {1 << 20}).header(); }, Code::kCorrupt,
     "cut short"},
};

class GgufRefusal : public ::testing::TestWithParam<Refusal> {};

TEST_P(GgufRefusal, IsRefusedWithItsReason) {
  const std::string bytes = GetParam().bytes();
  const auto gguf = read(bytes);
  ASSERT_FALSE(gguf);
  EXPECT_EQ(gguf.error().code(), GetParam().code) << gguf.error().message();
  EXPECT_NE(gguf.error().message().find(GetParam().says), std::string::npos)
      << gguf.error().message();
}

INSTANTIATE_TEST_SUITE_P(Rules, GgufRefusal, ::testing::ValuesIn(kRefusals),
                         [](const auto& param) { return std::string(param.param.name); });

// Cutting a good file anywhere in its header is refused, never read past.
TEST(Gguf, EveryTruncationIsRefused) {
  const std::string bytes = tiny_llama().build();
  const std::size_t header = tiny_llama().header().size();
  for (std::size_t length = 0; length < header; ++length) {
    EXPECT_FALSE(read(bytes.substr(0, length))) << length;
  }
}

// A flipped byte must end in a value or an error; the sanitizers watch.
TEST(Gguf, EveryFlippedByteEndsWell) {
  const std::string bytes = tiny_llama().build();
  const std::size_t header = tiny_llama().header().size();
  for (std::size_t at = 0; at < header; ++at) {
    for (const char change : {'\x01', '\x80', '\xFF'}) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ change);
      const auto gguf = read(changed);
      if (gguf) gguf_strings(*gguf), gguf_facts(*gguf);
    }
  }
}

}  // namespace
}  // namespace berth::formats
