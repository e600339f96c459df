#include "cli/commands.h"

namespace berth::cli {

std::vector<Command> all_commands(Globals& globals) {
  std::vector<Command> all;
  for (const auto make : {pull_command,
                          push_command,
                          transfer_command,
                          list_command,
                          inspect_command,
                          show_command,
                          tag_command,
                          package_command,
                          rm_command,
                          purge_command,
                          prune_command,
                          fsck_command,
                          export_command,
                          import_command,
                          ps_command,
                          unload_command,
                          configure_command,
                          serve_command,
                          registry_command,
                          status_command,
                          logs_command,
                          requests_command,
                          install_runner_command,
                          start_runner_command,
                          stop_runner_command,
                          restart_runner_command,
                          reinstall_runner_command,
                          uninstall_runner_command,
                          df_command,
                          token_command,
                          login_command,
                          logout_command,
                          settings_command,
                          plugin_command,
                          completion_command,
                          man_command,
                          version_command,
                          help_command,
                          compose_command,
                          complete_command}) {
    all.push_back(make());
    if (make == import_command) all.push_back(run_command(globals));
  }
  for (Command& command : later_commands()) all.push_back(std::move(command));
  return all;
}

}  // namespace berth::cli
