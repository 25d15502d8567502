#include "api/http_lane.h"

#include <gtest/gtest.h>

#include <future>

namespace varve {
namespace {

TEST(HttpLane, ClientsTakeTurns) {
  std::promise<void> gate;
  std::shared_future<void> open = gate.get_future().share();
  Mutex mutex;
  std::string order;
  HttpLane lane(1, 100);
  const auto task = [&](char name) {
    return [&, name] {
      MutexLock lock(&mutex);
      order.push_back(name);
    };
  };
  ASSERT_TRUE(lane.Submit("x", [open] { open.wait(); }));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(lane.Submit("a", task('a')));
  ASSERT_TRUE(lane.Submit("b", task('b')));
  ASSERT_TRUE(lane.Submit("c", task('c')));
  gate.set_value();
  lane.Stop();
  EXPECT_EQ(order, "abcaa");
}

TEST(HttpLane, RefusesWhenFullAndAfterStop) {
  std::promise<void> gate;
  std::shared_future<void> open = gate.get_future().share();
  std::promise<void> started;
  HttpLane lane(1, 2);
  ASSERT_TRUE(lane.Submit("x", [&, open] {
    started.set_value();
    open.wait();
  }));
  started.get_future().wait();
  EXPECT_EQ(lane.running(), 1u);
  EXPECT_TRUE(lane.Submit("x", [] {}));
  EXPECT_TRUE(lane.Submit("y", [] {}));
  EXPECT_FALSE(lane.Submit("z", [] {}));
  EXPECT_EQ(lane.queued(), 2u);
  gate.set_value();
  lane.Stop();
  EXPECT_FALSE(lane.Submit("x", [] {}));
}

}  // namespace
}  // namespace varve
