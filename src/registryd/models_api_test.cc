// /v2/_berth over HTTP: what it says, to whom.
#include <fstream>
#include <gtest/gtest.h>

#include "depot/depot_fixture.h"
#include "guard/registry_token.h"
#include "json/json.h"
#include "metrics/metrics.h"
#include "oci/media_types.h"
#include "registryd/gate.h"
#include "registryd/registry.h"

namespace berth::registryd {
namespace {

constexpr std::string_view kKey = "a key of this test";

class ModelsApiTest : public depot::DepotTest {
 public:
  void TearDown() override { stop(); }
  void serve(GateSettings settings = {}, atlas::Check check = atlas::Check::kWarn) {
    settings.key = kKey;
    gate_ = Gate::open(*loop_, std::move(settings)).value();
    atlas_ = std::make_unique<atlas::Atlas>(*loop_, seam(), check);
    atlas_->start();
    registry_ = std::make_unique<Registry>(seam(), *atlas_, *gate_, metrics_,
                                           Options{.collect_grace = std::chrono::seconds(-10)});
  }
  // With users: alice may pull team/**, root everything.
  void serve_users() {
    const std::string users = folder_.path() + "/users";
    std::ofstream(users) << "alice:$2y$05$P.3nIz2TOG3rRI3Bnwsyj.VdUvIsrd0wLppGUMgBcmYhMA6rPd4Ue\n";
    serve({.htpasswd = users, .rules = {"alice pull team/**", "root * **"}});
  }
  void stop() {
    registry_.reset();
    if (atlas_) EXPECT_TRUE(run(atlas_->close()));
    atlas_.reset();
  }

  static std::string token(std::string subject, bool catalog = true) {
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    guard::RegistryToken token{.subject = std::move(subject),
                               .issued = now,
                               .expires = now + std::chrono::minutes(5),
                               .catalog = catalog};
    for (const char* repository : {"team/a", "team/b", "secret/c"})
      token.access.push_back({.repository = repository, .actions = guard::Actions::all()});
    return guard::sign(token, "berth-registry", kKey);
  }

  struct Answer {
    int status = 0;
    std::string body;
    http::Headers headers;
    json::Value json() const { return json::parse(body, "the answer").value(); }
  };
  Answer ask(std::string method, std::string path, std::string query = "", std::string token = "",
             std::string body = "") {
    http::Request request{.method = std::move(method), .body = std::move(body)};
    request.url.path = std::move(path);
    request.url.query = std::move(query);
    if (!token.empty()) request.headers.set("Authorization", "Bearer " + token);
    auto response = run(registry_->handle(op_, std::move(request))).value();
    Answer answer{.status = response.status, .headers = response.headers};
    answer.body = run(http::read_all(op_, std::move(response.body), 1 << 20)).value();
    return answer;
  }
  std::vector<std::string> search(std::string query, std::string token = "") {
    const Answer answer = ask("GET", "/v2/_berth/search", std::move(query), std::move(token));
    EXPECT_EQ(answer.status, 200) << answer.body;
    std::vector<std::string> names;
    for (const json::Value& model : answer.json().at("models").as_array())
      names.emplace_back(model.at("repository").as_string());
    return names;
  }
  // A manifest of a model whose weights are these bytes, not pushed itself.
  std::string model(const std::string& repository, const std::string& weights) {
    const std::string config = R"({"config":{"format":"gguf","architecture":"llama"}})";
    push(repository, config);
    push(repository, weights);
    const oci::Manifest manifest{
        .media_type = std::string(oci::media::kManifest),
        .config = oci::describe(config, "application/vnd.docker.ai.model.config.v0.1+json"),
        .layers = {oci::describe(weights, "application/vnd.docker.ai.gguf.v3")}};
    return oci::serialize(manifest);
  }
  oci::Digest known(const std::string& repository, const std::string& blob,
                    const std::string& architecture) {
    push(repository, blob);
    const oci::Digest digest = put(repository, manifest({blob}, {"v1"}));
    EXPECT_TRUE(
        run(seam().models.keep(op_, {.repository = repository, .digest = digest},
                               depot::ModelFacts{.architecture = architecture, .parameters = 7})));
    return digest;
  }

  metrics::Registry metrics_;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<atlas::Atlas> atlas_;
  std::unique_ptr<Registry> registry_;
};

using Names = std::vector<std::string>;

TEST_F(ModelsApiTest, ATruncatedModelIsWarnedOfAndItsRecordSaysSo) {
  serve();
  const Answer pushed =
      ask("PUT", "/v2/a/manifests/v1", "", "", model("a", "GGUF cut off in the middle"));
  EXPECT_EQ(pushed.status, 201) << pushed.body;
  const Answer found = ask("GET", "/v2/_berth/models/a");
  ASSERT_EQ(found.status, 200) << found.body;
  const json::Value record = found.json().at("models").at(0);
  EXPECT_EQ(record.at("architecture").as_string(), "llama");
  EXPECT_NE(found.body.find("is no sound gguf file"), std::string::npos) << found.body;
}

TEST_F(ModelsApiTest, ATruncatedModelIsRefusedWhereTheSettingSaysSo) {
  serve({}, atlas::Check::kRefuse);
  const Answer pushed =
      ask("PUT", "/v2/a/manifests/v1", "", "", model("a", "GGUF cut off in the middle"));
  EXPECT_EQ(pushed.status, 400);
  EXPECT_NE(pushed.body.find("MANIFEST_INVALID"), std::string::npos);
  EXPECT_NE(pushed.body.find("model.gguf"), std::string::npos) << pushed.body;
  EXPECT_EQ(ask("GET", "/v2/a/manifests/v1").status, 404);
  EXPECT_TRUE(search("").empty());
}

TEST_F(ModelsApiTest, ASearchGoesOnByItsLink) {
  known("team/a", "1", "llama");
  known("team/b", "2", "llama");
  known("team/b", "3", "qwen3");
  serve();
  EXPECT_EQ(search(""), (Names{"team/a", "team/b", "team/b"}));
  EXPECT_EQ(search("architecture=QWEN3"), (Names{"team/b"}));
  EXPECT_EQ(search("q=team%2Fb+llama&min_parameters=7"), (Names{"team/b"}));
  EXPECT_TRUE(search("max_parameters=6").empty());
  const Answer first = ask("GET", "/v2/_berth/search", "architecture=llama&n=1");
  const std::string link(first.headers.get("Link").value_or(""));
  ASSERT_TRUE(link.starts_with("</v2/_berth/search?")) << link;
  EXPECT_NE(link.find("architecture=llama"), std::string::npos) << link;
  const std::size_t begin = link.find('?') + 1;
  EXPECT_EQ(search(link.substr(begin, link.find('>') - begin)), (Names{"team/b"}));
  EXPECT_EQ(ask("GET", "/v2/_berth/search", "min_size=big").status, 400);
  EXPECT_EQ(ask("GET", "/v2/_berth/search", "n=0").status, 400);
}

TEST_F(ModelsApiTest, EverybodySeesOnlyTheirs) {
  known("team/a", "1", "llama");
  known("secret/c", "1", "llama");
  serve_users();
  EXPECT_EQ(ask("GET", "/v2/_berth/search").status, 401);
  EXPECT_EQ(search("", token("alice")), (Names{"team/a"}));
  EXPECT_EQ(ask("GET", "/v2/_berth/search", "", token("anonymous")).status, 401);
  EXPECT_EQ(search("", token("root")), (Names{"secret/c", "team/a"}));
  const Answer usage = ask("GET", "/v2/_berth/usage", "", token("alice"));
  EXPECT_EQ(usage.json().at("repositories").as_array().size(), 1u) << usage.body;
  for (const char* what : {"models", "tags", "history", "usage"}) {
    EXPECT_EQ(ask("GET", fmt::format("/v2/_berth/{}/secret/c", what), "", token("alice")).status,
              403);
    EXPECT_EQ(ask("GET", fmt::format("/v2/_berth/{}/team/a", what), "", token("alice")).status,
              200);
    EXPECT_EQ(ask("GET", fmt::format("/v2/_berth/{}/none", what), "", token("root")).status, 401);
  }
}

TEST_F(ModelsApiTest, NobodySeesWhatIsForEverybody) {
  known("public/a", "1", "llama");
  known("secret/c", "1", "llama");
  const std::string users = folder_.path() + "/users";
  std::ofstream(users) << "";
  serve({.htpasswd = users, .rules = {"anonymous pull public/*"}});
  EXPECT_EQ(ask("GET", "/v2/_berth/search").status, 401);
  EXPECT_EQ(search("", token("anonymous")), (Names{"public/a"}));
}

TEST_F(ModelsApiTest, OnlyWhoMayDeleteEverywhereCollects) {
  serve_users();
  EXPECT_EQ(ask("POST", "/v2/_berth/collect").status, 401);
  EXPECT_EQ(ask("POST", "/v2/_berth/collect", "", token("alice")).status, 403);
  EXPECT_EQ(ask("POST", "/v2/_berth/collect", "", token("root", false)).status, 401);
  push("team/a", "nobody names this");
  Answer freed = ask("POST", "/v2/_berth/collect", "dry_run=true", token("root"));
  ASSERT_EQ(freed.status, 200) << freed.body;
  EXPECT_EQ(freed.json().at("bytes").to_number<int>(), 17);
  EXPECT_TRUE(has_file(oci::Digest::of(as_bytes("nobody names this"))));
  freed = ask("POST", "/v2/_berth/collect", "", token("root"));
  EXPECT_EQ(freed.json().at("blobs").to_number<int>(), 1);
  EXPECT_FALSE(has_file(oci::Digest::of(as_bytes("nobody names this"))));
  EXPECT_EQ(ask("POST", "/v2/_berth/collect", "dry_run=maybe", token("root")).status, 400);
  EXPECT_EQ(ask("GET", "/v2/_berth/collect", "", token("root")).status, 405);
}

TEST_F(ModelsApiTest, TagsHaveAHistory) {
  const oci::Digest one = put("a", manifest({"1"}, {"v1"}));
  const oci::Digest two = put("a", manifest({"2"}, {"v1", "v2"}));
  serve();
  const Answer tags = ask("GET", "/v2/_berth/tags/a", "n=1");
  EXPECT_EQ(tags.json().at("tags").at(0).at("digest").as_string(), two.string());
  EXPECT_TRUE(tags.headers.get("Link"));
  const Answer history = ask("GET", "/v2/_berth/history/a", "tag=v1");
  const json::Value moves = history.json().at("moves");
  ASSERT_EQ(moves.as_array().size(), 2u) << history.body;
  EXPECT_EQ(moves.at(0).at("before").as_string(), one.string());
  EXPECT_EQ(moves.at(0).at("after").as_string(), two.string());
  EXPECT_EQ(moves.at(0).at("actor").as_string(), "tester");
  EXPECT_EQ(ask("GET", "/v2/_berth/history/a").json().at("moves").as_array().size(), 3u);
  EXPECT_EQ(ask("GET", "/v2/_berth/history/none").status, 404);
  EXPECT_EQ(ask("GET", "/v2/_berth/history/a", "last=x").status, 400);
}

TEST_F(ModelsApiTest, DiscoveryNamesTheExtension) {
  serve();
  const Answer found = ask("GET", "/v2/_oci/ext/discover");
  EXPECT_NE(found.body.find(R"("name":"_berth")"), std::string::npos) << found.body;
  EXPECT_NE(found.body.find("_berth/search"), std::string::npos);
  for (const char* path : {"/v2/_berth", "/v2/_berth/", "/v2/_berth/nothing", "/v2/_berth/tags",
                           "/v2/_berth/search/a", "/v2/_berth/a/b"})
    EXPECT_EQ(ask("GET", path).status, 404) << path;
  EXPECT_EQ(ask("GET", "/v2/_berth/models/UPPER").status, 400);
}

}  // namespace
}  // namespace berth::registryd
