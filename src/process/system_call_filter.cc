#include "process/system_call_filter.h"

#include <array>
#include <cerrno>
#include <memory>
#include <sched.h>
#include <seccomp.h>
#include <span>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace berth::process {
namespace {

struct Release {
  void operator()(void* context) const { seccomp_release(context); }
};
using Context = std::unique_ptr<void, Release>;

// An engine computes, reads its files and answers on a socket. None of these is needed for that,
// and each has been a way out of a sandbox or into the kernel.
constexpr std::array kDenied = {
    // other processes
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp",
    // mounts and roots
    "mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen",
    "fsconfig", "fsmount", "fspick", "mount_setattr", "swapon", "swapoff", "quotactl",
    "quotactl_fd",
    // namespaces
    "unshare", "setns",
    // the kernel itself
    "bpf", "perf_event_open", "kexec_load", "kexec_file_load", "init_module", "finit_module",
    "delete_module", "create_module", "get_kernel_syms", "query_module", "reboot", "syslog",
    "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "acct",
    "lookup_dcookie", "nfsservctl", "_sysctl", "vhangup", "fanotify_init",
    // keys
    "keyctl", "add_key", "request_key",
    // files by handle, which walk past mounts
    "open_by_handle_at", "name_to_handle_at",
    // hardware and time
    "iopl", "ioperm", "modify_ldt", "vm86", "vm86old", "settimeofday", "stime", "clock_settime",
    "clock_settime64", "clock_adjtime", "clock_adjtime64", "adjtimex", "sethostname",
    "setdomainname"};

constexpr unsigned long kNamespaceFlags = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                          CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
                                          CLONE_NEWNET;

std::unexpected<Error> failed(int code, std::string_view what) {
  return fail(Code::kUnsupported, "cannot make the system call filter of the sandbox: {} ({})",
              what, -code);
}

// Names that this architecture does not have are skipped: there is nothing to deny.
Status deny(void* context, const char* name, unsigned error) {
  const int number = seccomp_syscall_resolve_name(name);
  if (number < 0) return {};
  const int code = seccomp_rule_add(context, SCMP_ACT_ERRNO(error), number, 0);
  if (code < 0 && code != -EACCES) return failed(code, name);
  return {};
}

Status deny_when(void* context, int number, unsigned error, scmp_arg_cmp condition) {
  const int code = seccomp_rule_add_array(context, SCMP_ACT_ERRNO(error), number, 1, &condition);
  if (code < 0) return failed(code, "a rule about an argument");
  return {};
}

// clone makes threads too: only its namespace flags are refused, one rule a flag.
Status deny_namespaces(void* context) {
  for (unsigned bit = 0; bit < 32; ++bit) {
    const std::uint64_t flag = 1UL << bit;
    if ((kNamespaceFlags & flag) == 0) continue;
    TRY_OK(deny_when(context, SCMP_SYS(clone), EPERM, {0, SCMP_CMP_MASKED_EQ, flag, flag}));
  }
  // Its flags lie in memory, where a filter cannot look: glibc then uses clone.
  return deny(context, "clone3", ENOSYS);
}

// Typing into the terminal that started us (TIOCSTI) and pasting into the console (TIOCLINUX).
Status deny_terminal_injection(void* context) {
  for (const std::uint64_t request : {std::uint64_t{TIOCSTI}, std::uint64_t{TIOCLINUX}}) {
    // Judged in the low 32 bits only, as the kernel does.
    TRY_OK(
        deny_when(context, SCMP_SYS(ioctl), EPERM, {1, SCMP_CMP_MASKED_EQ, 0xffffffffUL, request}));
  }
  return {};
}

Status deny_network(void* context) {
  return deny_when(context, SCMP_SYS(socket), EAFNOSUPPORT, {0, SCMP_CMP_NE, AF_UNIX, 0});
}

Result<UniqueFd> memory_file(const char* name) {
  UniqueFd file(::memfd_create(name, MFD_CLOEXEC));
  if (!file) return fail_errno(errno, "cannot make a memory file");
  return file;
}

Result<std::vector<sock_filter>> exported(void* context) {
  TRY(const UniqueFd file, memory_file("berth-filter"));
  const int code = seccomp_export_bpf(context, file.get());
  if (code < 0) return failed(code, "exporting");
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  std::vector<sock_filter> program(static_cast<std::size_t>(size) / sizeof(sock_filter));
  const std::size_t bytes = program.size() * sizeof(sock_filter);
  if (::pread(file.get(), program.data(), bytes, 0) != static_cast<ssize_t>(bytes)) {
    return fail_errno(errno, "cannot read the system call filter back");
  }
  return program;
}

}  // namespace

Result<SystemCallFilter> SystemCallFilter::deny_list(Network network) {
  const Context context(seccomp_init(SCMP_ACT_ALLOW));
  if (!context) return fail(Code::kUnsupported, "this machine's kernel has no seccomp filters");
  // Calls in another architecture's numbering (x32, i386) would slip past the names.
  (void)seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  for (const char* name : kDenied) TRY_OK(deny(context.get(), name, EPERM));
  TRY_OK(deny_namespaces(context.get()));
  TRY_OK(deny_terminal_injection(context.get()));
  if (network == Network::kUnixOnly) TRY_OK(deny_network(context.get()));
  TRY(auto program, exported(context.get()));
  return SystemCallFilter(std::move(program));
}

Result<UniqueFd> SystemCallFilter::to_memory_file() const {
  TRY(UniqueFd file, memory_file("berth-filter"));
  const auto bytes = std::as_bytes(std::span(program_));
  const ssize_t written = ::write(file.get(), bytes.data(), bytes.size());
  if (written != static_cast<ssize_t>(bytes.size()) || ::lseek(file.get(), 0, SEEK_SET) != 0) {
    return fail_errno(errno, "cannot write the system call filter");
  }
  return file;
}

std::vector<std::string_view> SystemCallFilter::denied_calls() {
  std::vector<std::string_view> names(kDenied.begin(), kDenied.end());
  names.insert(names.end(), {"clone3", "clone (namespace flags)", "ioctl (TIOCSTI, TIOCLINUX)"});
  return names;
}

}  // namespace berth::process
