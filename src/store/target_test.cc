#include "store/store_fixture.h"
#include "store/target_test_suite.h"

namespace berth::content {
namespace {

struct StoreFixture {
  store::TempFolder folder;
  rt::Loop loop;
  std::unique_ptr<store::Store> store =
      store::Store::open(loop, {.root = folder.path() + "/store"}).value();
  Target& target() { return *store; }
};

INSTANTIATE_TYPED_TEST_SUITE_P(Store, TargetSuite, StoreFixture);

}  // namespace
}  // namespace berth::content
