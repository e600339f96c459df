#include "engine/options.h"

#include <gtest/gtest.h>
#include <set>

#include "engine/flag_table.h"

namespace berth::engine {
namespace {

using Words = std::vector<std::string>;

EngineOptions parsed(const Words& words) {
  auto options = parse_runtime_flags(words);
  EXPECT_TRUE(options) << options.error().message();
  return options.value_or(EngineOptions{});
}
std::string refusal(const Words& words, Code code = Code::kInvalid) {
  const auto options = parse_runtime_flags(words);
  EXPECT_FALSE(options) << words[0];
  if (options) return "";
  EXPECT_EQ(options.error().code(), code);
  return options.error().message();
}

TEST(Options, LongShortAndJoinedSpellings) {
  EXPECT_EQ(parsed({"--threads", "4"}).threads, 4);
  EXPECT_EQ(parsed({"-t", "4"}).threads, 4);
  EXPECT_EQ(parsed({"--threads=4"}).threads, 4);
  EXPECT_EQ(parsed({"-ngl", "99"}).gpu_layers, 99);
  EXPECT_EQ(parsed({"--n-gpu-layers", "99"}).gpu_layers, 99);
  EXPECT_EQ(parsed({"--temp", "0.25"}).temperature, 0.25);
  EXPECT_EQ(parsed({"-ctk", "q8_0"}).cache_type_k, "q8_0");
  EXPECT_EQ(parsed({"--reasoning-budget", "-1"}).reasoning_budget, -1);
}

TEST(Options, SwitchesAreOnAndOff) {
  EXPECT_EQ(parsed({"--context-shift"}).context_shift, true);
  EXPECT_EQ(parsed({"--no-context-shift"}).context_shift, false);
  EXPECT_EQ(parsed({"-nkvo"}).kv_offload, false);
  EXPECT_EQ(parsed({"--no-mmap"}).load_mode, "none");
  EXPECT_EQ(parsed({"--mlock"}).load_mode, "mmap+mlock");
}

TEST(Options, FlashAttentionMayStandAlone) {
  EXPECT_EQ(parsed({"-fa", "--threads", "2"}).flash_attention, "on");
  EXPECT_EQ(parsed({"--flash-attn"}).flash_attention, "on");
  EXPECT_EQ(parsed({"-fa", "off"}).flash_attention, "off");
}

TEST(Options, TheLastOneCounts) { EXPECT_EQ(parsed({"-t", "4", "-t", "5"}).threads, 5); }

TEST(Options, AnUnknownFlagIsNamedWithTheKnownOnes) {
  const std::string message = refusal({"--log-file", "/etc/passwd"});
  EXPECT_NE(message.find("--log-file"), std::string::npos);
  EXPECT_NE(message.find("--ctx-size"), std::string::npos);
}

// Whatever could name a file, a host, a secret, a program or a free text.
TEST(Options, DangerousFlagsAreNotKnown) {
  for (const char* flag : {"--model",
                           "-m",
                           "--host",
                           "--port",
                           "--lora",
                           "--lora-scaled",
                           "--mmproj",
                           "--log-file",
                           "--api-key",
                           "--api-key-file",
                           "--ssl-key-file",
                           "--chat-template",
                           "--chat-template-file",
                           "--chat-template-kwargs",
                           "--grammar",
                           "--grammar-file",
                           "-j",
                           "--json-schema",
                           "-jf",
                           "--rpc",
                           "--path",
                           "--slot-save-path",
                           "--model-url",
                           "-hf",
                           "--hf-token",
                           "--docker-repo",
                           "--models-dir",
                           "--media-path",
                           "--tools",
                           "--mcp-servers-json",
                           "--override-kv",
                           "--override-tensor",
                           "--control-vector",
                           "--model-draft",
                           "--api-prefix",
                           "--alias",
                           "--lookup-cache-static",
                           "--agent",
                           "--cors-origins",
                           "--props",
                           "--log-prompts-dir",
                           "--video-ffmpeg-dir",
                           "--webui-config",
                           "model",
                           "",
                           "--",
                           "-"}) {
    refusal({flag, "x"});
  }
}

TEST(Options, ValuesOutOfBoundsAreRefused) {
  for (const Words& words : std::vector<Words>{{"--threads", "-2"},
                                               {"--threads", "9999"},
                                               {"--threads", "four"},
                                               {"--threads", "4x"},
                                               {"--threads", ""},
                                               {"--threads="},
                                               {"--threads", " 4"},
                                               {"--ctx-size", "-1"},
                                               {"--ctx-size", "99999999999999999999"},
                                               {"--temp", "nan"},
                                               {"--temp", "inf"},
                                               {"--temp", "-1"},
                                               {"--temp", "0.1e"},
                                               {"--top-p", "1.01"},
                                               {"--cache-type-k", "f8"},
                                               {"--cache-type-k", "f16 "},
                                               {"--cache-type-k", "f32 f16"},
                                               {"--prio", "3"},
                                               {"--split-mode", "tensor"},
                                               {"--cpu-mask", "0x1; rm"},
                                               {"--cpu-range", "1-2-3"},
                                               {"--device", "../x"},
                                               {"--tensor-split", "1,"},
                                               {"--samplers", "top_k;$(x)"},
                                               {"--flash-attn", "maybe"},
                                               {"--warmup=1"},
                                               {"--mlock=1"},
                                               {"--verbose=2"},
                                               {"--cache-ram", "-1"},
                                               {"--device", "a\nb"},
                                               {"--device", "\x1b[2J"},
                                               {"--rope-scaling", "none\n"}}) {
    refusal(words);
  }
  EXPECT_NE(refusal({"--threads"}).find("needs a value"), std::string::npos);
}

TEST(Options, ControlCharactersNeverReachTheMessage) {
  const std::string message = refusal({"--device", "\x1b[2J\n"});
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

TEST(Options, NumbersAndLengthsOfFlagsAreBounded) {
  refusal(Words(300, "--warmup"), Code::kTooLarge);
  refusal({"--device", std::string(1000, 'a')}, Code::kTooLarge);
}

TEST(Options, EveryFlagSurvivesTheRoundTrip) {
  std::set<std::string_view> names;
  for (const Flag& flag : flag_table()) {
    EXPECT_TRUE(names.insert(flag.name()).second) << flag.name() << " is there twice";
  }
  EngineOptions options =
      parsed({"-c",        "4096",        "-t",   "3",           "--temp",
              "0.1",       "--top-p",     "0.95", "--no-warmup", "--rope-freq-base",
              "1000000",   "-fa",         "auto", "--seed",      "42",
              "--no-mmap", "--draft-max", "16",   "-ts",         "3,1"});
  options.mode = Mode::kEmbedding;
  EngineOptions base;
  base.mode = Mode::kEmbedding;
  EXPECT_EQ(parse_runtime_flags(to_flags(options), base).value(), options);
}

TEST(Options, MergePrefersTheUpper) {
  const EngineOptions base = parsed({"-t", "4", "--temp", "0.5"});
  const EngineOptions over = parsed({"-t", "8"});
  const EngineOptions both = merge(base, over);
  EXPECT_EQ(both.threads, 8);
  EXPECT_EQ(both.temperature, 0.5);
}

TEST(Options, FingerprintsDiffer) {
  const EngineOptions a = parsed({"-t", "4"});
  EngineOptions b = a;
  EXPECT_EQ(fingerprint(a), fingerprint(b));
  b.mode = Mode::kReranking;
  EXPECT_NE(fingerprint(a), fingerprint(b));
  EXPECT_NE(fingerprint(a), fingerprint(parsed({"-t", "5"})));
  EXPECT_NE(fingerprint({}), fingerprint(a));
}

TEST(Options, RawFlagsAreSplitLikeAShellWouldWithoutExpanding) {
  EXPECT_EQ(split_runtime_flags("  -t 4\t--temp '0.5' ").value(),
            Words({"-t", "4", "--temp", "0.5"}));
  EXPECT_EQ(split_runtime_flags("a\"b c\"d $HOME *").value(), Words({"ab cd", "$HOME", "*"}));
  EXPECT_EQ(split_runtime_flags("''").value(), Words({""}));
  EXPECT_EQ(split_runtime_flags("").value(), Words());
  EXPECT_FALSE(split_runtime_flags("-t '4"));
}

TEST(Options, ModesHaveNames) {
  for (const Mode mode : {Mode::kCompletion, Mode::kEmbedding, Mode::kReranking}) {
    EXPECT_EQ(mode_from_string(to_string(mode)), mode);
  }
  EXPECT_FALSE(mode_from_string("chat"));
}

TEST(Context, AskedThenPackagedThenConfiguredThenTheModels) {
  EXPECT_EQ(choose_context({.asked = 1000, .packaged = 2000, .configured = 3000, .trained = 4000}),
            1000u);
  EXPECT_EQ(choose_context({.packaged = 2000, .configured = 3000, .trained = 4000}), 2000u);
  EXPECT_EQ(choose_context({.configured = 3000, .trained = 4000}), 3000u);
  EXPECT_EQ(choose_context({.trained = 4000}), 4000u);
  EXPECT_EQ(choose_context({.trained = 131072}), kDefaultContext);
  EXPECT_EQ(choose_context({}), kDefaultContext);
  EXPECT_EQ(choose_context({.asked = 0, .trained = 131072}),
            131072u);  // 0 is llama.cpp's "all of it"
  EXPECT_EQ(choose_context({.packaged = 1ULL << 60}), kMaxContext);
}

}  // namespace
}  // namespace berth::engine
