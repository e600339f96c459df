// `berth run`: one answer and the chat.
#include <fstream>
#include <gtest/gtest.h>

#include "cli/chat.h"
#include "cli/fake_shell.h"
#include "cli/prompt.h"

namespace berth::cli {
namespace {

FakeShell shell_with_smollm() {
  FakeShell shell;
  shell.state.here = {fake_model("docker.io/ai/smollm2:latest", 'a')};
  return shell;
}

std::string content_of(const json::Value& message) {
  return std::string(message.at("content").as_string());
}

std::deque<Line> typed(const std::vector<std::string>& lines) {
  std::deque<Line> all;
  for (const std::string& line : lines) all.push_back({Line::Kind::kText, line});
  return all;
}

TEST(Run, AnswersAPromptOnStandardOutput) {
  FakeShell shell = shell_with_smollm();
  shell.state.answers["What is the capital of France?"] = "Paris.";
  EXPECT_EQ(shell.run({"run", "smollm2", "What", "is", "the", "capital", "of", "France?", "--temp",
                       "0", "--seed", "7", "--ctx", "2048"}),
            0);
  EXPECT_EQ(shell.out, "Paris.\n");
  EXPECT_EQ(shell.err, "");
  ASSERT_EQ(shell.state.chats.size(), 1u);
  EXPECT_EQ(shell.state.chats[0].options.temperature, 0.0);
  EXPECT_EQ(shell.state.chats[0].options.seed, 7);
  EXPECT_EQ(shell.state.chats[0].options.context_size, 2048u);
}

TEST(Run, WordsOfAPromptThatAreCommandsAreWords) {
  FakeShell shell = shell_with_smollm();
  EXPECT_EQ(shell.run({"run", "smollm2", "list", "pull", "help"}), 0);
  EXPECT_EQ(content_of(shell.state.chats[0].messages[0]), "list pull help");
  EXPECT_EQ(shell.run({"run", "smollm2", "--", "what", "is", "-5", "--quiet"}), 0);
  EXPECT_EQ(content_of(shell.state.chats[1].messages[0]), "what is -5 --quiet");
}

TEST(Run, PipedInputIsAppendedAndNeverNamesFiles) {
  FakeShell shell = shell_with_smollm();
  const std::string path = testing::TempDir() + "berth-secret.txt";
  std::ofstream(path) << "secret";
  shell.input.is_piped = true;
  shell.input.text = "see @" + path;
  EXPECT_EQ(shell.run({"run", "smollm2", "Summarise"}), 0);
  EXPECT_EQ(content_of(shell.state.chats[0].messages[0]), "Summarise\n\nsee @" + path);
  EXPECT_EQ(shell.run({"run", "smollm2"}), 0);
  EXPECT_EQ(content_of(shell.state.chats[1].messages[0]), "see @" + path);
}

TEST(Run, WithoutAPromptOrATerminalItSaysWhatToDo) {
  FakeShell shell = shell_with_smollm();
  EXPECT_EQ(shell.run({"run", "smollm2"}), 2);
  EXPECT_TRUE(shell.state.chats.empty());
}

TEST(Run, PullsWhatIsAbsent) {
  FakeShell shell;
  shell.state.remote = {fake_model("docker.io/ai/smollm2:latest", 'a')};
  EXPECT_EQ(shell.run({"run", "smollm2", "hi", "--progress", "none"}), 0);
  EXPECT_EQ(shell.out, "echo: hi\n");
  EXPECT_EQ(shell.err,
            "smollm2 is not here: pulling it\nModel pulled successfully: 91.7 MB of 91.7 MB "
            "transferred\n");
}

TEST(Run, SystemMessageAndSchemaGoWithTheRequest) {
  FakeShell shell = shell_with_smollm();
  const std::string path = testing::TempDir() + "berth-schema.json";
  std::ofstream(path) << "{\"type\":\"object\"}";
  EXPECT_EQ(shell.run({"run", "smollm2", "--system", "Be brief", "--json-schema", path, "hi"}), 0);
  EXPECT_EQ(shell.state.chats[0].options.json_schema, "{\"type\":\"object\"}");
  EXPECT_EQ(content_of(shell.state.chats[0].messages[0]), "Be brief");
  std::ofstream(path) << "[1]";
  EXPECT_EQ(shell.run({"run", "smollm2", "--json-schema", path, "hi"}), 2);
  std::ofstream(path) << "{";
  EXPECT_EQ(shell.run({"run", "smollm2", "--json-schema", path, "hi"}), 2);
  EXPECT_EQ(shell.run({"run", "smollm2", "--json-schema", path + ".absent", "hi"}), 3);
  EXPECT_EQ(shell.state.chats.size(), 1u);
}

TEST(Run, VerboseTellsTheTimesOnStandardError) {
  FakeShell shell = shell_with_smollm();
  EXPECT_EQ(shell.run({"run", "smollm2", "hi", "--verbose"}), 0);
  EXPECT_EQ(shell.out, "echo: hi\n");
  for (const char* part : {"load:                 440 ms", "time to first token:  30 ms",
                           "speed:                56.7 tokens/s", "device:               CPU"}) {
    EXPECT_NE(shell.err.find(part), std::string::npos) << part << " in\n" << shell.err;
  }
}

TEST(Run, ThoughtsStayOutOfTheData) {
  FakeShell shell = shell_with_smollm();
  shell.state.reasoning = "hmm\x1b[2J";
  EXPECT_EQ(shell.run({"run", "smollm2", "hi"}), 0);
  EXPECT_EQ(shell.out, "echo: hi\n");
  EXPECT_EQ(shell.err, "Thinking:\nhmm\\x1b[2J\n\n");
}

TEST(Run, AnAnswerCannotDriveTheTerminal) {
  FakeShell shell = shell_with_smollm();
  shell.state.answers["hi"] = "a\x1b]0;x\x07\tb\nc\xc2\x9b\xe2\x82\xac";
  EXPECT_EQ(shell.run({"run", "smollm2", "hi"}), 0);
  EXPECT_EQ(shell.out, "a\\x1b]0;x\\x07\tb\nc\\x9b\xe2\x82\xac\n");
}

TEST(Run, DetachPreloads) {
  FakeShell shell = shell_with_smollm();
  EXPECT_EQ(shell.run({"run", "-d", "smollm2"}), 0);
  ASSERT_EQ(shell.state.chats.size(), 1u);
  EXPECT_TRUE(shell.state.chats[0].preload_only);
  EXPECT_EQ(shell.out, "");
}

TEST(Run, OptionsOutOfRangeAreRefused) {
  FakeShell shell = shell_with_smollm();
  for (const auto& [flag, value] :
       std::vector<std::pair<std::string, std::string>>{{"--temp", "-1"},
                                                        {"--top-p", "1.5"},
                                                        {"--max-tokens", "0"},
                                                        {"--temp", "hot"},
                                                        {"--ctx", "-1"},
                                                        {"--gpu", "abacus"}}) {
    EXPECT_EQ(shell.run({"run", "smollm2", flag, value, "hi"}), 2) << flag;
  }
  EXPECT_TRUE(shell.state.chats.empty());
}

TEST(Run, GpuAndSandboxAreKnownBeforeTheServicesAreMade) {
  FakeShell shell = shell_with_smollm();
  EXPECT_EQ(shell.run({"run", "--gpu", "none", "--no-sandbox", "smollm2", "hi"}), 0);
  EXPECT_EQ(shell.globals[0].gpu, "none");
  EXPECT_TRUE(shell.globals[0].no_sandbox);
  EXPECT_TRUE(shell.state.chats[0].no_sandbox);
}

TEST(Chat, KeepsTheConversation) {
  FakeShell shell = shell_with_smollm();
  shell.input.is_terminal = true;
  shell.input.typed = typed({"hi", "", "again", "/bye", "never"});
  EXPECT_EQ(shell.run({"run", "smollm2"}), 0);
  EXPECT_EQ(shell.out, "echo: hi\necho: again\n");
  ASSERT_EQ(shell.state.chats.size(), 2u);
  ASSERT_EQ(shell.state.chats[1].messages.size(), 3u);
  EXPECT_EQ(content_of(shell.state.chats[1].messages[1]), "echo: hi");
  EXPECT_EQ(shell.input.remembered, (std::vector<std::string>{"hi", "again", "/bye"}));
}

TEST(Chat, CommandsChangeWhatIsAsked) {
  FakeShell shell = shell_with_smollm();
  shell.input.is_terminal = true;
  shell.input.typed =
      typed({"/set system Be brief", "/set parameter num_ctx 512", "/set temp 0.5", "hi", "/clear",
             "/set system", "hi", "/set num_ctx none", "/set parameter what 1", "/show", "/?",
             "/? set", "/? files", "/? shortcuts", "/nothing"});
  EXPECT_EQ(shell.run({"run", "smollm2"}), 0);
  ASSERT_EQ(shell.state.chats.size(), 2u);
  EXPECT_EQ(content_of(shell.state.chats[0].messages[0]), "Be brief");
  EXPECT_EQ(shell.state.chats[0].options.context_size, 512u);
  EXPECT_EQ(shell.state.chats[0].options.temperature, 0.5);
  EXPECT_EQ(shell.state.chats[1].messages.size(), 1u);
  for (const char* part : {"Set num_ctx to 512", "Forgot the conversation.",
                           "Cleared system message.", "num_ctx takes a whole number",
                           "there is no parameter \"what\"", "Unknown command '/nothing'"}) {
    EXPECT_NE(shell.err.find(part), std::string::npos) << part;
  }
}

TEST(Chat, SeveralLinesBetweenTripleQuotes) {
  FakeShell shell = shell_with_smollm();
  shell.input.is_terminal = true;
  shell.input.typed = typed({"\"\"\"first", "/bye", "last\"\"\"", "\"\"\"one\"\"\""});
  EXPECT_EQ(shell.run({"run", "smollm2"}), 0);
  ASSERT_EQ(shell.state.chats.size(), 2u);
  EXPECT_EQ(content_of(shell.state.chats[0].messages[0]), "first\n/bye\nlast");
  EXPECT_EQ(content_of(shell.state.chats[1].messages[2]), "one");
  EXPECT_EQ(shell.input.prompts, (std::vector<std::string>{"> ", ". ", ". ", "> ", "> "}));
}

TEST(Chat, CtrlCAtThePromptDropsTheLineOnly) {
  FakeShell shell = shell_with_smollm();
  shell.input.is_terminal = true;
  shell.input.typed = typed({"\"\"\"half"});
  shell.input.typed.push_back({Line::Kind::kInterrupted, ""});
  shell.input.typed.push_back({Line::Kind::kText, "hi"});
  EXPECT_EQ(shell.run({"run", "smollm2"}), 0);
  EXPECT_EQ(shell.out, "echo: hi\n");
  EXPECT_NE(shell.err.find("Use Ctrl + d or /bye to exit."), std::string::npos);
}

TEST(Chat, CtrlCStopsTheAnswerAndNotTheProgram) {
  FakeShell shell = shell_with_smollm();
  shell.input.is_terminal = true;
  shell.input.typed = typed({"hi", "/set temp 1", "/bye"});
  shell.state.hang_chat = true;
  EXPECT_EQ(shell.run({"run", "smollm2"}), 0);
  EXPECT_EQ(shell.out, "ech\n");
  EXPECT_NE(shell.err.find("(stopped"), std::string::npos);
  EXPECT_NE(shell.err.find("Set temp to 1"), std::string::npos);
}

TEST(Chat, AFailedAnswerIsToldAndTheChatGoesOn) {
  FakeShell shell = shell_with_smollm();
  shell.input.is_terminal = true;
  const std::string path = testing::TempDir() + "berth-binary";
  std::ofstream(path) << std::string("a\0b", 3);
  shell.input.typed = typed({"look at @" + path, "hi"});
  EXPECT_EQ(shell.run({"run", "smollm2"}), 0);
  EXPECT_EQ(shell.out, "echo: hi\n");
  EXPECT_NE(shell.err.find("is not a text file"), std::string::npos);
}

TEST(Chat, SaveWritesANewFileAndReplacesNone) {
  FakeShell shell = shell_with_smollm();
  shell.input.is_terminal = true;
  const std::string path = testing::TempDir() + "berth-chat.json";
  std::remove(path.c_str());
  shell.input.typed = typed({"hi", "/save " + path, "/save " + path, "/save"});
  EXPECT_EQ(shell.run({"run", "smollm2"}), 0);
  std::ifstream file(path);
  const auto saved = json::parse(std::string(std::istreambuf_iterator<char>(file), {}), "saved");
  ASSERT_TRUE(saved);
  EXPECT_EQ(saved->at("messages").as_array().size(), 2u);
  EXPECT_NE(shell.err.find("Saved to"), std::string::npos);
  EXPECT_NE(shell.err.find("usage: /save FILE"), std::string::npos);
}

TEST(Prompt, FilesAreIncludedByName) {
  const std::string path = testing::TempDir() + "berth notes.txt";
  std::ofstream(path) << "notes with @\"" + path + "\"";
  const auto prompt = read_prompt("Read @\"" + path + "\" now");
  ASSERT_TRUE(prompt) << prompt.error().message();
  // What the file says is not looked into.
  EXPECT_EQ(prompt->text, "Read notes with @\"" + path + "\" now");
}

TEST(Prompt, WhatIsNoFileStaysAsItIs) {
  for (const std::string& text : {"mail me@example.com", "@absent", "@", "ask @\"unclosed",
                                  "/absent/cat.png", "a.png b", "it's @'x"}) {
    const auto prompt = read_prompt(text);
    ASSERT_TRUE(prompt) << text;
    EXPECT_EQ(prompt->text, text);
    EXPECT_TRUE(prompt->images.empty());
  }
}

TEST(Prompt, PicturesBecomeDataUrls) {
  const std::string path = testing::TempDir() + "berth-picture.png";
  std::ofstream(path) << "\x89PNG\r\n\x1a\nrest";
  const auto prompt = read_prompt("What is " + path + " about?");
  ASSERT_TRUE(prompt) << prompt.error().message();
  ASSERT_EQ(prompt->images.size(), 1u);
  EXPECT_EQ(prompt->images[0], "data:image/png;base64,iVBORw0KGgpyZXN0");
  EXPECT_EQ(prompt->text, "What is  about?");
  const json::Value message(user_message(*prompt));
  EXPECT_EQ(message.at("content").as_array().size(), 2u);
}

TEST(Prompt, APictureByNameOnlyIsRefused) {
  const std::string path = testing::TempDir() + "berth-fake.jpg";
  std::ofstream(path) << "#!/bin/sh";
  EXPECT_EQ(read_prompt(path).error().code(), Code::kInvalid);
}

TEST(Prompt, LargeFilesAreRefusedBeforeTheyAreRead) {
  const std::string path = testing::TempDir() + "berth-large.txt";
  {
    std::ofstream file(path);
    file.seekp(static_cast<std::streamoff>(kMaxIncluded));
    file << "x";
  }
  const auto prompt = read_prompt("@" + path);
  std::remove(path.c_str());
  ASSERT_FALSE(prompt);
  EXPECT_EQ(prompt.error().code(), Code::kTooLarge);
}

}  // namespace
}  // namespace berth::cli
