// One function a command; each in its own file. all_commands() in commands.cc puts them in order.
#pragma once

#include "cli/command.h"

namespace berth::cli {

Command pull_command();
Command push_command();
Command transfer_command();
Command list_command();
Command tag_command();
Command inspect_command();
Command show_command();
Command rm_command();
Command purge_command();
Command prune_command();
Command fsck_command();
Command package_command();
Command export_command();
Command import_command();
Command run_command(Globals& globals);
Command ps_command();
Command df_command();
Command unload_command();
Command configure_command();
Command status_command();
Command logs_command();
Command requests_command();
Command compose_command();
Command serve_command();
Command registry_command();
std::vector<Command> registry_view_commands();  // its children that ask one
std::vector<Command> registry_care_commands();  // and that take care of one
Command install_runner_command();
Command reinstall_runner_command();
Command uninstall_runner_command();
Command start_runner_command();
Command stop_runner_command();
Command restart_runner_command();
Command login_command();
Command logout_command();
Command token_command();
Command settings_command();
Command version_command();
Command plugin_command();
Command completion_command();
Command complete_command();
Command man_command();
Command help_command();
std::vector<Command> later_commands();  // known, not in this version

}  // namespace berth::cli
