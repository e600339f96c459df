#include "remote/scope.h"

#include <gtest/gtest.h>

namespace berth::remote {
namespace {

TEST(Scope, MergesActionsOfOneResource) {
  ScopeSet scopes = ScopeSet::repository("ai/x", "pull");
  scopes.add_text("repository:ai/x:push registry:catalog:*");
  EXPECT_EQ(scopes.string(), "registry:catalog:* repository:ai/x:pull,push");
}

TEST(Scope, ANameMayHoldAPort) {
  ScopeSet scopes;
  scopes.add_text("repository:host:5000/ai/x:pull");
  EXPECT_EQ(scopes.strings(), std::vector<std::string>{"repository:host:5000/ai/x:pull"});
}

TEST(Scope, CoversWhatItHolds) {
  ScopeSet both = ScopeSet::repository("a", "pull,push");
  both.add(ScopeSet::repository("b", "pull"));
  EXPECT_TRUE(both.covers(ScopeSet::repository("a", "pull")));
  EXPECT_TRUE(both.covers({}));
  EXPECT_FALSE(both.covers(ScopeSet::repository("b", "pull,push")));
  EXPECT_FALSE(both.covers(ScopeSet::repository("c", "pull")));
}

TEST(Scope, HostileTextIsLeftOut) {
  ScopeSet scopes;
  scopes.add_text("nocolon one:colon repository:a\n:pull repository:" + std::string(5000, 'x') +
                  ":pull  repository:a:,,");
  EXPECT_TRUE(scopes.empty());
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "repository:r" + std::to_string(i) + ":pull ";
  scopes.add_text(many);
  EXPECT_EQ(scopes.strings().size(), 16u);
}

}  // namespace
}  // namespace berth::remote
