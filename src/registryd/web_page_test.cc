#include "registryd/web_page.h"

#include <fstream>
#include <gtest/gtest.h>

#include "base/text.h"
#include "depot/depot_fixture.h"
#include "model/media.h"
#include "registryd/page_views.h"
#include "registryd/reading.h"

namespace berth::registryd {
namespace {

// htpasswd -nbB alice secret
constexpr std::string_view kUsers =
    "alice:$2y$05$P.3nIz2TOG3rRI3Bnwsyj.VdUvIsrd0wLppGUMgBcmYhMA6rPd4Ue\n";
constexpr std::string_view kHostile = "<script>alert(1)</script>\"'&";

struct Layer {
  std::string_view type;
  std::string bytes;
  oci::Annotations annotations = {};
};

class WebPageTest : public depot::DepotTest {
 public:
  void SetUp() override {
    depot::DepotTest::SetUp();
    start({.key = "key"});
  }
  void start(GateSettings settings) {
    page_.reset();
    gate_ = Gate::open(*loop_, std::move(settings)).value();
    page_.emplace(*loop_, seam(), *gate_);
  }
  void start_with_users(std::vector<std::string> rules) {
    std::ofstream(folder_.path() + "/users") << kUsers;
    start({.htpasswd = folder_.path() + "/users", .rules = std::move(rules), .key = "key"});
  }
  http::Response call(std::string path, std::string authorization = "",
                      std::string method = "GET") {
    http::Request request{.method = std::move(method)};
    const std::size_t question = path.find('?');
    request.url.path = path.substr(0, question);
    if (question != std::string::npos) request.url.query = path.substr(question + 1);
    request.headers.set("Host", "registry.example");
    if (!authorization.empty()) request.headers.set("Authorization", authorization);
    http::Response response = run(page_->handle(op_, std::move(request))).value();
    EXPECT_EQ(response.headers.get("Content-Security-Policy"), content_security_policy());
    EXPECT_EQ(response.headers.get("X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(response.headers.get("Referrer-Policy"), "no-referrer");
    return response;
  }
  std::string text(const std::string& path, int status = 200) {
    http::Response response = call(path);
    EXPECT_EQ(response.status, status) << path;
    std::string html = std::get<std::string>(response.body.content);
    EXPECT_FALSE(html.contains("<script")) << html;
    return html;
  }
  static std::string alice() { return "Basic " + base64_encode(as_bytes("alice:secret")); }

  oci::Digest put_bytes(const std::string& repository, std::vector<std::string> tags,
                        std::string bytes, std::string_view type = oci::media::kManifest) {
    const Reading reading = read_manifest(bytes, type).value();
    const oci::Digest digest = oci::Digest::of(as_bytes(bytes));
    return put(repository, {.manifest = {digest, std::string(type), bytes},
                            .tags = std::move(tags),
                            .children = reading.children,
                            .subject = reading.subject,
                            .artifact_type = reading.artifact_type,
                            .referrer = referrer_descriptor(reading, digest, bytes.size()),
                            .origin = {.actor = "tester"}});
  }
  oci::Digest push_artifact(const std::string& repository, std::vector<std::string> tags,
                            std::string_view config_type, const std::string& config,
                            const std::vector<Layer>& layers, oci::Annotations annotations = {},
                            std::optional<oci::Descriptor> subject = std::nullopt) {
    push(repository, config);
    oci::Manifest manifest{.media_type = std::string(oci::media::kManifest),
                           .artifact_type = {},
                           .config = oci::describe(config, config_type),
                           .layers = {},
                           .subject = std::move(subject),
                           .annotations = std::move(annotations)};
    for (const Layer& layer : layers) {
      push(repository, layer.bytes);
      oci::Descriptor descriptor = oci::describe(layer.bytes, layer.type);
      descriptor.annotations = layer.annotations;
      manifest.layers.push_back(std::move(descriptor));
    }
    return put_bytes(repository, std::move(tags), oci::serialize(manifest));
  }
  oci::Digest push_model(const std::string& repository, std::vector<std::string> tags,
                         const std::string& readme = "# Tiny\n\nA *card*.") {
    const std::string file(model::annotation::kFilePath);
    return push_artifact(
        repository, std::move(tags), model::media::kModelPackConfig,
        R"({"descriptor":{"licenses":["MIT"]},"config":{"architecture":"llama","paramSize":"8b",)"
        R"("quantization":"Q4_K_M","format":"gguf"},"modelfs":{"type":"layers","diffIds":[]}})",
        {{model::media::kModelPackWeight, "weights", {{file, "tiny.gguf"}}},
         {model::media::kModelPackDoc, readme, {{file, "README.md"}}}},
        {{"org.example." + std::string(kHostile), std::string(kHostile)}});
  }

  std::unique_ptr<Gate> gate_;
  std::optional<WebPage> page_;
};

TEST_F(WebPageTest, AnEmptyRegistryTellsHowToPush) {
  EXPECT_TRUE(text("/").contains("berth push registry.example/NAME:TAG"));
}

TEST_F(WebPageTest, HomeListsRepositoriesInPages) {
  for (int i = 0; i < 60; ++i) put(fmt::format("team/m{:02}", i), manifest({}, {"v1", "v2"}));
  const std::string first = text("/");
  EXPECT_TRUE(first.contains("<a href=\"/r/team/m49\">team/m49</a>"));
  EXPECT_FALSE(first.contains("team/m50"));
  EXPECT_TRUE(first.contains("<a href=\"/?last=team%2Fm49\">Next</a>"));
  const std::string second = text("/?last=team%2Fm49");
  EXPECT_TRUE(second.contains("team/m50") && second.contains("team/m59"));
  EXPECT_FALSE(second.contains(">Next<"));
  const std::string found = text("/?q=%20M07");
  EXPECT_TRUE(found.contains("/r/team/m07\"") && found.contains("value=\"m07\""));
  EXPECT_FALSE(found.contains("/r/team/m08\""));
}

TEST_F(WebPageTest, WhatIsSearchedForIsEscaped) {
  const std::string page = text("/?q=%3Cscript%3E%22x");
  EXPECT_TRUE(page.contains("value=\"&lt;script&gt;&quot;x\""));
  EXPECT_TRUE(page.contains("<strong>&lt;script&gt;&quot;x</strong>"));
}

TEST_F(WebPageTest, ARepositoryShowsItsTags) {
  const oci::Digest digest = push_model("team/tiny", {"v1", "latest"});
  const std::string page = text("/r/team/tiny");
  EXPECT_TRUE(page.contains("<a href=\"/r/team/tiny:v1\">v1</a>"));
  EXPECT_TRUE(page.contains("/r/team/tiny@" + digest.string()));
  EXPECT_TRUE(page.contains("docker model pull registry.example/team/tiny:"));
  text("/r/team/none", 404);
  text("/r/team/tiny?page=2", 404);
}

TEST_F(WebPageTest, AModelIsToldWithItsCard) {
  const oci::Digest digest = push_model("team/tiny", {"v1"});
  const std::string page = text("/r/team/tiny:v1");
  for (const std::string_view part :
       {"<dd>Model (ModelPack)</dd>", "<dd>llama</dd>", "<dd>8B</dd>", "<dd>Q4_K_M</dd>",
        "<dd>MIT</dd>", "<h3>Tiny</h3>\n<p>A <em>card</em>.</p>", "tiny.gguf", "<td>weights</td>",
        "berth pull registry.example/team/tiny:v1", "History of the tag v1", "tester"})
    EXPECT_TRUE(page.contains(part)) << part;
  const std::string escaped = "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;";
  EXPECT_TRUE(page.contains("org.example." + escaped + "</th>"));
  EXPECT_TRUE(page.contains(">" + escaped + "</td>"));
  EXPECT_TRUE(text("/r/team/tiny@" + digest.string()).contains("@sha256:"));
}

TEST_F(WebPageTest, ACardThatIsTooLongIsNotRead) {
  push_model("team/tiny", {"v1"}, std::string(kMostCard + 1, 'x'));
  EXPECT_FALSE(text("/r/team/tiny:v1").contains("Model card"));
}

TEST_F(WebPageTest, ReferrersAndIndexesAreLinked) {
  const oci::Digest model = push_model("a", {"v1"});
  oci::Descriptor subject{.media_type = std::string(oci::media::kManifest), .digest = model};
  const oci::Digest sbom =
      push_artifact("a", {}, "application/spdx+json", "{}", {}, {}, std::move(subject));
  put("a", manifest({}, {fmt::format("sha256-{}.sig", model.hex())}));
  const std::string page = text("/r/a:v1");
  EXPECT_TRUE(page.contains("SBOM (SPDX)"));
  EXPECT_TRUE(page.contains("/r/a@" + sbom.string()));
  EXPECT_TRUE(page.contains("Signature (cosign, by tag)"));
  EXPECT_TRUE(text("/r/a@" + sbom.string()).contains("Refers to"));
  put_bytes("a", {"all"},
            fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{}",)"
                        R"("digest":"{}","size":7,"platform":{{"os":"linux","architecture":)"
                        R"("arm64"}}}}]}})",
                        oci::media::kIndex, oci::media::kManifest, model.string()),
            oci::media::kIndex);
  const std::string index = text("/r/a:all");
  EXPECT_TRUE(index.contains("linux/arm64") && index.contains("/r/a@" + model.string()));
}

TEST_F(WebPageTest, ManifestsThatNobodyUnderstandsHaveAPageTheSame) {
  put_bytes("a", {"odd"},
            R"({"x":1,"config":{"mediaType":"<script>","digest":")" + oci::Digest::of({}).string() +
                R"(","size":1}})",
            "application/<script>");
  const std::string page = text("/r/a:odd");
  EXPECT_TRUE(page.contains("Manifest of type application/&lt;script&gt;"));
  push_artifact("a", {"broken"}, model::media::kModelPackConfig, "[]", {});
  EXPECT_TRUE(text("/r/a:broken").contains("Its config cannot be read"));
}

TEST_F(WebPageTest, OtherPathsAreNoPages) {
  for (const char* path : {"/r", "/r/", "/x", "/r/UPPER", "/r/a:", "/r/a@sha256:1", "/r/../a",
                           "/r/a:%3Cscript%3E", "/favicon.ico", "//", "/r/a%00"})
    text(path, 404);
  const http::Response response = call("/", "", "POST");
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.headers.get("Allow"), "GET, HEAD");
}

TEST_F(WebPageTest, UsersSeeWhatTheyMayPull) {
  push_model("team/mine", {"v1"});
  push_model("other/secret", {"v1"});
  start_with_users({"alice pull team/**"});
  for (const char* path : {"/", "/r/team/mine", "/r/team/mine:v1", "/r/none"}) {
    const http::Response response = call(path);
    EXPECT_EQ(response.status, 401) << path;
    EXPECT_TRUE(response.headers.get("WWW-Authenticate")->starts_with("Basic realm="));
    EXPECT_FALSE(std::get<std::string>(response.body.content).contains("mine"));
  }
  EXPECT_EQ(call("/", "Basic " + base64_encode(as_bytes("alice:wrong"))).status, 401);
  const http::Response home = call("/", alice());
  const std::string& html = std::get<std::string>(home.body.content);
  EXPECT_TRUE(html.contains("team/mine") && html.contains(">alice<"));
  EXPECT_FALSE(html.contains("secret"));
  EXPECT_EQ(call("/r/team/mine:v1", alice()).status, 200);
  EXPECT_EQ(call("/r/other/secret", alice()).status, 403);
  EXPECT_EQ(call("/r/other/secret:v1", alice()).status, 403);
  EXPECT_EQ(call("/r/other/none", alice()).status, 403);
}

TEST_F(WebPageTest, WhatIsOpenToAllIsShownWithAWayToLogIn) {
  push_model("public/x", {"v1"});
  push_model("team/mine", {"v1"});
  start_with_users({"alice * **", "anonymous pull public/**"});
  const std::string home = text("/");
  EXPECT_TRUE(home.contains("public/x") && home.contains("/?login"));
  EXPECT_FALSE(home.contains("team/mine"));
  EXPECT_EQ(call("/?login").status, 401);
  EXPECT_EQ(call("/?login", alice()).status, 200);
}

TEST_F(WebPageTest, StrangersHearTheSameOfAnEmptyRegistry) {
  start_with_users({"alice * **", "anonymous pull public/**"});
  EXPECT_EQ(call("/").status, 200);
  EXPECT_TRUE(text("/").contains("/?login"));
  push_model("team/mine", {"v1"});
  EXPECT_EQ(call("/").status, 200);
  EXPECT_FALSE(text("/").contains("team/mine"));
  EXPECT_EQ(call("/r/public/none").status, 404);
  EXPECT_EQ(call("/r/team/mine").status, 401);
  EXPECT_EQ(call("/r/team/none").status, 401);
  start_with_users({"alice * **"});
  EXPECT_EQ(call("/").status, 401);
  EXPECT_EQ(call("/?q=mine").status, 401);
  EXPECT_EQ(call("/?last=a").status, 401);
}

TEST(WebPageVisitTest, OnlyAWholePageMayBeOpenedFromElsewhere) {
  http::Request request;
  request.headers = {{"Sec-Fetch-Mode", "navigate"}, {"Sec-Fetch-Dest", "document"}};
  EXPECT_TRUE(WebPage::is_visit(request));
  request.method = "POST";
  EXPECT_FALSE(WebPage::is_visit(request));
  request.method = "GET";
  request.headers.set("Sec-Fetch-Dest", "iframe");
  EXPECT_FALSE(WebPage::is_visit(request));
  request.headers = {{"Sec-Fetch-Mode", "cors"}, {"Sec-Fetch-Dest", "empty"}};
  EXPECT_FALSE(WebPage::is_visit(request));
}

}  // namespace
}  // namespace berth::registryd
