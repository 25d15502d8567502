#include "api/http_query_log.h"

#include <gtest/gtest.h>

#include "tests/support/memory_file_system.h"

namespace varve {
namespace {

QueryLogEntry Entry() {
  QueryLogEntry entry;
  entry.query = "m{a=\"x\"}";
  entry.start_ms = 1'500;
  entry.end_ms = 61'500;
  entry.step_ms = 15'000;
  entry.stats = R"({"samples":{}})";
  entry.client = "127.0.0.1";
  entry.method = "GET";
  entry.path = "/api/v1/query_range";
  return entry;
}

TEST(QueryLogTest, WritesTheFieldsOfPrometheus) {
  EXPECT_EQ(QueryLogLine(Entry(), -1),
            R"({"time":"1969-12-31T23:59:59.999Z","level":"INFO",)"
            R"("msg":"promql query logged","params":{"query":"m{a=\"x\"}",)"
            R"("start":"1970-01-01T00:00:01.500Z",)"
            R"("end":"1970-01-01T00:01:01.500Z","step":15},)"
            R"("stats":{"samples":{}},"httpRequest":{"clientIP":"127.0.0.1",)"
            R"("method":"GET","path":"/api/v1/query_range"}})"
            "\n");
  QueryLogEntry failed = Entry();
  failed.error = "bad";
  EXPECT_NE(QueryLogLine(failed, 0).find(R"("error":"bad")"),
            std::string::npos);
}

TEST(QueryLogTest, OpensAgainAfterAReload) {
  MemoryFileSystem fs;
  ASSERT_TRUE(fs.CreateDir("/d").ok());
  QueryLog log(&fs, Clock::System(), Logger());
  log.Add({"/d/log", 1}, Entry());
  ASSERT_TRUE(fs.Rename("/d/log", "/d/old").ok());
  log.Add({"/d/log", 1}, Entry());
  EXPECT_FALSE(*fs.Exists("/d/log"));
  log.Add({"/d/log", 2}, Entry());
  EXPECT_TRUE(*fs.Exists("/d/log"));
  EXPECT_EQ(fs.Stat("/d/old")->size, 2 * fs.Stat("/d/log")->size);
  log.Add({"", 3}, Entry());
  EXPECT_EQ(fs.Stat("/d/old")->size, 2 * fs.Stat("/d/log")->size);
}

TEST(QueryLogTest, AFileThatCannotBeOpenedCostsNothingButALog) {
  MemoryFileSystem fs;
  QueryLog log(&fs, Clock::System(), Logger());
  log.Add({"/nowhere/log", 1}, Entry());
  EXPECT_FALSE(*fs.Exists("/nowhere/log"));
}

}  // namespace
}  // namespace varve
