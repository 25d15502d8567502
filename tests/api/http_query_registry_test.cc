#include "api/http_query_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

namespace varve {
namespace {

using testing::ElementsAre;
using testing::Field;
using testing::IsEmpty;

using Running = QueryRegistry::Running;

TEST(QueryRegistryTest, ListsQueriesWhileTheyRun) {
  QueryRegistry registry;
  QueryContext first;
  QueryContext second;
  std::optional<Running> one;
  one.emplace(&registry, &first, "up", "/api/v1/query", "127.0.0.1");
  {
    const Running two(&registry, &second, "rate(x[5m])", "/api/v1/query_range",
                      "::1");
    ASSERT_TRUE(second.ChargeSamples(7).ok());
    ASSERT_TRUE(second.ChargeBytes(900).ok());
    const std::vector<QueryRegistry::Info> list = registry.List();
    ASSERT_EQ(list.size(), 2u);
    EXPECT_EQ(list[0].query, "up");
    EXPECT_EQ(list[0].client, "127.0.0.1");
    EXPECT_EQ(list[1].path, "/api/v1/query_range");
    EXPECT_EQ(list[1].samples, 7);
    EXPECT_EQ(list[1].bytes, 900);
    EXPECT_GE(list[1].age_ns, 0);
    EXPECT_LT(list[0].id, list[1].id);
  }
  EXPECT_THAT(registry.List(),
              ElementsAre(Field(&QueryRegistry::Info::query, "up")));
  one.reset();
  EXPECT_THAT(registry.List(), IsEmpty());
}

TEST(QueryRegistryTest, CancelsOneQuery) {
  QueryRegistry registry;
  QueryContext first;
  QueryContext second;
  const Running one(&registry, &first, "a", "", "");
  int64_t id = 0;
  {
    const Running two(&registry, &second, "b", "", "");
    id = registry.List()[1].id;
    EXPECT_TRUE(registry.Cancel(id));
    EXPECT_TRUE(absl::IsCancelled(second.Check()));
    EXPECT_TRUE(first.Check().ok());
  }
  EXPECT_FALSE(registry.Cancel(id));
  EXPECT_FALSE(registry.Cancel(99));
}

}  // namespace
}  // namespace varve
