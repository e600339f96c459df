#include "base/text.h"
#include "cli/answer.h"
#include "cli/chat.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/progress.h"
#include "cli/prompt.h"
#include "cli/transfer.h"
#include "fs/file.h"
#include "rt/async.h"

namespace berth::cli {
namespace {

constexpr std::size_t kMaxInput = 8 * 1024 * 1024;
constexpr std::size_t kMaxSchema = 1024 * 1024;

struct Options {
  std::string model;
  std::vector<std::string> words;
  control::ChatOptions chat;
  std::string system;
  std::string schema_file;
  std::string openai_url;
  std::string progress = "auto";
  bool websearch = false;
  bool detach = false;
  bool verbose = false;
};

Status check(const Options& options) {
  if (options.websearch) return fail(Code::kUnsupported, "--websearch is not in this version");
  if (!options.openai_url.empty()) {
    return fail(Code::kUnsupported,
                "chatting with another OpenAI server (--openaiurl) is not in this version");
  }
  if (options.model.starts_with("nvcr.io/nim/")) {
    return fail(Code::kUnsupported, "NVIDIA NIM containers ({}) are not in this version",
                printable(options.model));
  }
  if (options.chat.temperature && *options.chat.temperature < 0)
    return fail(Code::kInvalid, "--temp must not be negative");
  if (options.chat.top_p && (*options.chat.top_p < 0 || *options.chat.top_p > 1)) {
    return fail(Code::kInvalid, "--top-p must be between 0 and 1");
  }
  if (options.chat.max_tokens && *options.chat.max_tokens < 1)
    return fail(Code::kInvalid, "--max-tokens must be at least 1");
  return {};
}

Result<std::string> read_schema(const std::string& path) {
  TRY(const fs::File file, fs::open_user_file(path));
  TRY(const fs::FileInfo info, file.info());
  if (info.size > kMaxSchema)
    return fail(Code::kTooLarge, "the JSON schema {} is larger than {} bytes", printable(path),
                kMaxSchema);
  std::string text(info.size, '\0');
  TRY(const std::size_t n,
      file.read_at(0, std::as_writable_bytes(std::span(text.data(), text.size()))));
  text.resize(n);
  TRY(const json::Value value, json::parse(text, printable(path)));
  if (!value.is_object())
    return fail(Code::kInvalid, "{} is no JSON schema: it must be an object", printable(path));
  return text;
}

rt::Task<Status> pull_when_absent(Context& context, Options& options) {
  auto found = co_await context.services->models.inspect(context.op, options.model, false);
  if (found) co_return Status();
  if (found.error().code() != Code::kNotFound) co_return std::unexpected(std::move(found.error()));
  context.output.note("{} is not here: pulling it", printable(options.model));
  control::PullRequest request{.model = options.model,
                               .bearer_token = hugging_face_token(context, options.model)};
  CO_TRY_OK(co_await pull_model(context, std::move(request), options.progress));
  co_return Status();
}

// The words of the command line may name files; what is piped in is data and is taken as it is.
rt::Task<Result<Prompt>> prompt_of(Context& context, Options& options) {
  const std::string typed = fmt::format("{}", fmt::join(options.words, " "));
  CO_TRY(Prompt prompt,
         co_await rt::blocking(context.loop, [&typed] { return read_prompt(typed); }));
  if (!context.input.piped() || options.detach) co_return prompt;
  CO_TRY(const std::string piped,
         co_await context.input.read_all(context.loop, context.op, kMaxInput));
  if (trim(piped).empty()) co_return prompt;
  prompt.text += (prompt.text.empty() ? "" : "\n\n") + piped;
  co_return prompt;
}

rt::Task<Result<int>> answer_once(Context& context, Options& options, Prompt prompt) {
  Conversation conversation;
  control::ChatRequest request{
      .model = options.model,
      .messages = conversation.request(options.system, user_message(prompt)),
      .options = options.chat,
      .no_sandbox = context.globals.no_sandbox};
  CO_TRY(const Answer answer, co_await ask(context, context.op, std::move(request)));
  if (options.verbose) print_stats(context.output, answer.stats);
  co_return 0;
}

rt::Task<Result<int>> preload(Context& context, Options& options) {
  AnswerSink sink(context.output, context.op);
  control::ChatRequest request{.model = options.model,
                               .options = options.chat,
                               .preload_only = true,
                               .no_sandbox = context.globals.no_sandbox};
  CO_TRY(const control::ChatStats stats,
         co_await context.services->runs.chat(context.op, std::move(request), sink));
  if (options.verbose) print_stats(context.output, stats);
  co_return 0;
}

std::string history_folder(const Context& context) {
  const bool off = !context.variable("DOCKER_MODEL_NOHISTORY").empty() ||
                   !context.variable("BERTH_NOHISTORY").empty();
  return off || !context.environment.data_dir ? "" : context.environment.data_dir(context.globals);
}

rt::Task<Result<int>> interactive(Context& context, Options& options) {
  if (!context.input.terminal()) {
    co_return fail(Code::kInvalid,
                   "there is no prompt: give one after the model, or pipe it in, or run this in a "
                   "terminal to chat");
  }
  context.output.note("Send a message (/? for help, Ctrl + d to leave)");
  ChatSetup setup{.model = options.model,
                  .system = options.system,
                  .options = options.chat,
                  .verbose = options.verbose,
                  .no_sandbox = context.globals.no_sandbox};
  const auto lines = context.input.lines(context.loop, history_folder(context));
  co_return co_await chat(context, std::move(setup), *lines);
}

rt::Task<Result<int>> run(Context& context, Options& options) {
  CO_TRY_OK(check(options));
  if (!options.schema_file.empty()) {
    CO_TRY(options.chat.json_schema, co_await rt::blocking(context.loop, [&options] {
             return read_schema(options.schema_file);
           }));
  }
  CO_TRY(Prompt prompt, co_await prompt_of(context, options));
  CO_TRY_OK(co_await pull_when_absent(context, options));
  if (options.detach) co_return co_await preload(context, options);
  if (prompt.text.empty() && prompt.images.empty())
    co_return co_await interactive(context, options);
  co_return co_await answer_once(context, options, std::move(prompt));
}

constexpr std::string_view kDetails =
    "With a PROMPT it answers once; what is piped in is appended to the prompt. Without one it is "
    "a chat: /? helps, Ctrl + c\n"
    "stops an answer, Ctrl + d leaves. A model that is not here is pulled first. @FILE in a prompt "
    "stands for the file's text,\n"
    "the path of a picture for the picture. With a server up, its loaded model is used; else the "
    "engine lives as long as this.";
constexpr std::string_view kExamples =
    "berth run smollm2 What is the capital of France?\n"
    "berth run smollm2 < question.txt\n"
    "git diff | berth run smollm2 --temp 0 Write a commit message for this\n"
    "berth run smollm2";

}  // namespace

Command run_command(Globals& globals) {
  auto o = std::make_shared<Options>();
  return {
      .name = "run",
      .summary = "Run a model: one answer, or a chat",
      .details = kDetails,
      .examples = kExamples,
      .group = Group::kRunning,
      .arguments = {{.name = "MODEL", .target = &o->model, .completes = Completes::kModel},
                    {.name = "PROMPT", .count = Argument::Count::kAny, .target = &o->words}},
      .flags =
          {{.name = "system", .value = "TEXT", .help = "System message", .target = &o->system},
           {.name = "temp",
            .value = "X",
            .help = "Temperature; 0 for the same answer each time",
            .target = &o->chat.temperature},
           {.name = "top-p", .value = "X", .help = "Nucleus sampling", .target = &o->chat.top_p},
           {.name = "max-tokens",
            .value = "N",
            .help = "Longest answer",
            .target = &o->chat.max_tokens},
           {.name = "seed", .value = "N", .help = "Seed of the sampling", .target = &o->chat.seed},
           {.name = "ctx",
            .value = "N",
            .help = "Context size in tokens",
            .target = &o->chat.context_size},
           {.name = "json-schema",
            .value = "FILE",
            .help = "The answer is JSON of this schema",
            .target = &o->schema_file,
            .completes = Completes::kFile},
           {.name = "detach",
            .letter = 'd',
            .help = "Load the model into the server and return",
            .target = &o->detach},
           {.name = "verbose",
            .help = "Show load time, time to first token and tokens/s",
            .target = &o->verbose},
           {.name = "no-sandbox",
            .help = "Run the engine without a sandbox",
            .target = &globals.no_sandbox},
           {.name = "gpu",
            .value = "KIND",
            .help = "Which GPU to use",
            .target = &globals.gpu,
            .choices = {"auto", "none", "vulkan", "cuda", "rocm"}},
           progress_flag(o->progress),
           {.name = "websearch",
            .help = "Not in this version",
            .target = &o->websearch,
            .hidden = true},
           {.name = "openaiurl",
            .value = "URL",
            .help = "Not in this version",
            .target = &o->openai_url,
            .hidden = true}},
      .run = bound(o, run)};
}

}  // namespace berth::cli
