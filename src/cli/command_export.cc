// export and import: one model as a tar.
#include <unistd.h>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/progress.h"
#include "fs/file.h"
#include "rt/async.h"

namespace berth::cli {
namespace {

struct Export {
  std::string model;
  std::string output;
};
struct Import {
  std::string path;
  std::string progress = "auto";
  bool quiet = false;
};

// The folder and the name of a user's path.
std::pair<std::string, std::string> split_path(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

Result<fs::File> create_part(const std::string& folder, const std::string& name) {
  TRY(const fs::Dir dir, fs::Dir::open(folder));
  TRY_OK(dir.remove(name));
  return dir.create_new(name, 0644);
}

Status publish(fs::File& file, const std::string& folder, const std::string& part,
               const std::string& name) {
  TRY_OK(file.sync());
  TRY(const fs::Dir dir, fs::Dir::open(folder));
  return dir.rename(part, name);
}

Status discard(const std::string& folder, const std::string& part) {
  TRY(const fs::Dir dir, fs::Dir::open(folder));
  return dir.remove(part);
}

rt::Task<Status> copy_to_file(Context& context, rt::Reader& reader, fs::File& file) {
  std::vector<std::byte> block(1024 * 1024);
  std::uint64_t offset = 0;
  while (true) {
    CO_TRY(const std::size_t n, co_await reader.read(context.op, block));
    if (n == 0) co_return Status();
    const Bytes bytes = std::span(block).first(n);
    CO_TRY_OK(co_await rt::blocking(
        context.loop, [&file, offset, bytes] { return file.write_at(offset, bytes); }));
    offset += n;
  }
}

// A reader never sees half of it: written beside, then renamed.
rt::Task<Status> save(Context& context, rt::Reader& reader, std::string path) {
  const auto [folder, name] = split_path(path);
  const std::string part = name + ".part";
  CO_TRY(fs::File file, co_await rt::blocking(
                            context.loop, [&folder, &part] { return create_part(folder, part); }));
  Status copied = co_await copy_to_file(context, reader, file);
  if (copied)
    copied = co_await rt::blocking(context.loop, [&] { return publish(file, folder, part, name); });
  if (!copied) {
    [[maybe_unused]] const Status gone =
        co_await rt::blocking(context.loop, [&] { return discard(folder, part); });
  }
  co_return copied;
}

rt::Task<Result<int>> export_model(Context& context, Export& options) {
  const bool to_output = options.output.empty() || options.output == "-";
  if (to_output && context.output.out.terminal()) {
    co_return fail(
        Code::kInvalid,
        "a tar is no text for a terminal; give --output FILE or redirect standard output");
  }
  auto opened = co_await context.services->transfers.export_tar(context.op, options.model);
  CO_TRY(const std::unique_ptr<rt::Reader> tar, hinted(context, std::move(opened), options.model));
  if (to_output) {
    CO_TRY_OK(co_await copy_to_output(context, *tar, false));
  } else {
    CO_TRY_OK(co_await save(context, *tar, options.output));
  }
  co_return 0;
}

class FileReader : public rt::Reader {
 public:
  FileReader(rt::Loop& loop, fs::File file) : loop_(loop), file_(std::move(file)) {}
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    CO_TRY_OK(op.check());
    const std::uint64_t at = offset_;
    CO_TRY(const std::size_t n,
           co_await rt::blocking(loop_, [this, at, into] { return file_.read_at(at, into); }));
    offset_ += n;
    co_return n;
  }

 private:
  rt::Loop& loop_;
  fs::File file_;
  std::uint64_t offset_ = 0;
};

bool is_folder(const std::string& path) { return fs::open_user_dir(path).has_value(); }

rt::Task<Result<std::vector<std::string>>> take_in(Context& context, const Import& options,
                                                   control::Events& events) {
  if (options.path == "-") {
    const auto reader = context.input.reader(context.loop);
    co_return co_await context.services->transfers.import_tar(context.op, *reader, events);
  }
  if (co_await rt::blocking(context.loop, [&options] { return is_folder(options.path); })) {
    co_return co_await context.services->machine.import_path(context.op, {.path = options.path},
                                                             events);
  }
  CO_TRY(fs::File file, co_await rt::blocking(
                            context.loop, [&options] { return fs::open_user_file(options.path); }));
  FileReader reader(context.loop, std::move(file));
  co_return co_await context.services->transfers.import_tar(context.op, reader, events);
}

rt::Task<Result<int>> import_models(Context& context, Import& options) {
  context.output.quiet = options.quiet;
  if (options.path == "-" && context.input.terminal()) {
    co_return fail(Code::kInvalid,
                   "standard input is a terminal; redirect a tar into it or give a path");
  }
  Progress progress(context, "Imported", progress_mode(options.progress, context.output));
  auto imported = co_await take_in(context, options, progress);
  co_await progress.finish();
  CO_TRY(const std::vector<std::string> models, std::move(imported));
  for (const std::string& model : models) context.output.print("{}\n", printable(model, 2048));
  context.output.note("Imported {} model{}", models.size(), models.size() == 1 ? "" : "s");
  co_return 0;
}

}  // namespace

Command export_command() {
  auto o = std::make_shared<Export>();
  return {.name = "export",
          .summary = "Write a model as a tar of an OCI image layout",
          .details = "skopeo and other OCI tools read it; docker model's load does as well.",
          .examples =
              "berth export smollm2 --output smollm2.tar\nberth export smollm2 | ssh host berth "
              "import -",
          .arguments = {{.name = "MODEL", .target = &o->model, .completes = Completes::kModel}},
          .flags = {{.name = "output",
                     .letter = 'o',
                     .value = "FILE",
                     .help = "Where to write (default: standard output)",
                     .target = &o->output,
                     .completes = Completes::kFile}},
          .run = bound(o, export_model)};
}

Command import_command() {
  auto o = std::make_shared<Import>();
  return {.name = "import",
          .summary = "Read models from a tar or from a Docker Model Runner store",
          .details =
              "PATH is a tar of an OCI image layout, docker model's own tar, - for standard input, "
              "or the folder of a\n"
              "Docker Model Runner store (~/.docker/models).",
          .examples = "berth import smollm2.tar\nberth import ~/.docker/models",
          .arguments = {{.name = "PATH", .target = &o->path, .completes = Completes::kFile}},
          .flags = {{.name = "quiet",
                     .letter = 'q',
                     .help = "Print only the names",
                     .target = &o->quiet},
                    progress_flag(o->progress)},
          .run = bound(o, import_models)};
}

}  // namespace berth::cli
