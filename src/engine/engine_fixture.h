// What the tests of engine share: a folder for fake roots and device trees, and a small request.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "engine/installation.h"
#include "engine/launch.h"
#include "rt/loop.h"

namespace berth::engine {

namespace files = std::filesystem;

// A folder to build fake roots and device trees in.
class EngineTest : public testing::Test {
 protected:
  EngineTest() {
    char name[] = "/tmp/bertXXXXXX";
    folder = ::mkdtemp(name);
  }
  ~EngineTest() override { files::remove_all(folder); }

  void put(const std::string& name, const std::string& text = "") {
    files::create_directories(files::path(folder + "/" + name).parent_path());
    std::ofstream(folder + "/" + name) << text;
  }
  void put_program(const std::string& name, const std::string& text = "#!/bin/sh\n") {
    put(name, text);
    ::chmod((folder + "/" + name).c_str(), 0755);
  }
  void put_root(const std::string& name, const std::string& version = "1:0.7.0+dfsg-2") {
    put_program(name + "/usr/bin/llama-server");
    put(name + "/.packages", "libc6 2.43\nllama.cpp-tools " + version + "\n");
    put(name + "/usr/lib/x86_64-linux-gnu/ggml/backends0/libggml-cpu-x64.so");
  }

  std::string folder;
  rt::Loop loop;
  rt::Op op;
};

inline bool holds(const std::vector<std::string>& words, std::initializer_list<std::string> part) {
  return std::search(words.begin(), words.end(), part.begin(), part.end()) != words.end();
}

inline LaunchRequest tiny_request() {
  LaunchRequest request;
  request.files.model = {"/store/blobs/abc", "model.gguf"};
  request.shape = {.layers = 30,
                   .weight_bytes = 90'000'000,
                   .kv_bytes_per_token = 1000,
                   .trained_context = 2048};
  return request;
}

class Launching : public EngineTest {
 protected:
  Result<Launch> launch(LaunchRequest request) {
    put_root("root");
    return make_launch(*root_at(folder + "/root", Installation::Origin::kConfigured),
                       {folder + "/run", "/usr/bin/bwrap", folder + "/devices"}, request);
  }
};

}  // namespace berth::engine
