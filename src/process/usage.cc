// Memory of a process tree, from /proc.
#include <dirent.h>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

#include "base/text.h"
#include "process/child.h"

namespace berth::process {
namespace {

constexpr std::size_t kMostProcesses = 256;

std::string slurp(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> entries(const std::string& path) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), ::closedir);
  while (const dirent* entry = folder ? ::readdir(folder.get()) : nullptr) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

void add_children(pid_t pid, std::vector<pid_t>& tree) {
  const std::string tasks = fmt::format("/proc/{}/task", pid);
  for (const std::string& task : entries(tasks)) {
    for (const std::string& child : split(slurp(tasks + "/" + task + "/children"), ' ')) {
      const auto number = parse_u64(child);
      if (number && tree.size() < kMostProcesses) tree.push_back(static_cast<pid_t>(*number));
    }
  }
}

std::uint64_t status_field(std::string_view status, std::string_view name) {
  const std::size_t at = status.find(name);
  if (at == std::string_view::npos) return 0;
  std::string_view rest = status.substr(at + name.size());
  rest = trim(rest.substr(0, rest.find("kB")));
  return parse_u64(rest).value_or(0) * 1024;
}

std::uint64_t sum(pid_t root, std::initializer_list<std::string_view> fields) {
  std::vector<pid_t> tree{root};
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < tree.size(); ++i) {
    const std::string status = slurp(fmt::format("/proc/{}/status", tree[i]));
    for (const std::string_view field : fields) bytes += status_field(status, field);
    add_children(tree[i], tree);
  }
  return bytes;
}

}  // namespace

std::uint64_t resident_bytes(pid_t pid) { return sum(pid, {"\nVmRSS:"}); }
std::uint64_t anonymous_bytes(pid_t pid) { return sum(pid, {"\nRssAnon:", "\nRssShmem:"}); }

}  // namespace berth::process
