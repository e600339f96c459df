#include "metrics/metrics.h"

#include <gtest/gtest.h>

namespace berth::metrics {
namespace {

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(Metrics, TextForm) {
  Registry registry;
  registry.count("berth_requests", "Requests.", {{"route", "/models"}, {"status", "200"}});
  registry.count("berth_requests", "Requests.", {{"route", "/models"}, {"status", "200"}}, 2);
  registry.set("berth_loaded", "Models.", {}, 3);
  registry.add("berth_in_flight", "Now.", {}, 2);
  registry.add("berth_in_flight", "Now.", {}, -1);
  registry.observe_seconds("berth_load_seconds", "Load.", {{"model", "m"}}, 0.3);
  const std::string text = registry.text();
  EXPECT_TRUE(has_line(text, "berth_requests_total{route=\"/models\",status=\"200\"} 3")) << text;
  EXPECT_TRUE(has_line(text, "# TYPE berth_requests_total counter")) << text;
  EXPECT_TRUE(has_line(text, "berth_loaded 3")) << text;
  EXPECT_TRUE(has_line(text, "berth_in_flight 1")) << text;
  EXPECT_TRUE(has_line(text, "berth_load_seconds_bucket{model=\"m\",le=\"0.25\"} 0")) << text;
  EXPECT_TRUE(has_line(text, "berth_load_seconds_bucket{model=\"m\",le=\"0.5\"} 1")) << text;
  EXPECT_TRUE(has_line(text, "berth_load_seconds_count{model=\"m\"} 1")) << text;
}

TEST(Metrics, RelabelAddsToEverySample) {
  const std::string in =
      "# HELP llamacpp:x Things.\n# TYPE llamacpp:x counter\nllamacpp:x 5\nllamacpp:y{a=\"}\\\"\"} "
      "1 1700\nempty{} 2\n";
  const Labels labels = {{"backend", "llama.cpp"}, {"model", "a\"b"}};
  EXPECT_EQ(relabel(in, labels, Comments::kKeep),
            "# HELP llamacpp:x Things.\n# TYPE llamacpp:x counter\n"
            "llamacpp:x{backend=\"llama.cpp\",model=\"a\\\"b\"} 5\n"
            "llamacpp:y{a=\"}\\\"\",backend=\"llama.cpp\",model=\"a\\\"b\"} 1 1700\n"
            "empty{backend=\"llama.cpp\",model=\"a\\\"b\"} 2\n");
}

TEST(Metrics, RelabelDropsWhatIsNoSample) {
  const Labels labels = {{"m", "x"}};
  EXPECT_EQ(relabel("<html>\nname\nx{unclosed 3\n9 1\n\n# note", labels, Comments::kDrop), "");
  EXPECT_EQ(relabel("last 1", labels, Comments::kDrop), "last{m=\"x\"} 1\n");
}

}  // namespace
}  // namespace berth::metrics
