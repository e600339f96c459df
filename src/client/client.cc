#include "client/client.h"

#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/unique_fd.h"
#include "client/verbs.h"

namespace berth::client {

bool answers(const std::string& socket) {
  sockaddr_un address{};
  if (socket.size() >= sizeof address.sun_path) return false;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket.c_str(), socket.size() + 1);
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return fd &&
         ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

struct Client::Parts {
  explicit Parts(std::unique_ptr<Server> its_server)
      : server(std::move(its_server)),
        models(*server),
        transfers(*server, models),
        runs(*server),
        system(*server),
        machine(*server) {}

  std::unique_ptr<Server> server;
  Models models;
  Transfers transfers;
  Runs runs;
  System system;
  Machine machine;
  Tokens tokens;
  RegistryView registries;
};

Client::Client(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Client::~Client() = default;

Result<std::unique_ptr<Client>> Client::connect(rt::Loop& loop, ServerAddress address) {
  TRY(auto server, Server::make(loop, std::move(address)));
  return std::unique_ptr<Client>(new Client(std::make_unique<Parts>(std::move(server))));
}

control::Services Client::services() {
  return {.models = parts_->models,
          .transfers = parts_->transfers,
          .runs = parts_->runs,
          .system = parts_->system,
          .machine = parts_->machine,
          .tokens = parts_->tokens,
          .registries = parts_->registries};
}

}  // namespace berth::client
