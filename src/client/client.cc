#include "client/client.h"

#include "client/verbs.h"

namespace berth::client {

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
          .tokens = parts_->tokens};
}

}  // namespace berth::client
