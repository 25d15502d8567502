// The program: `varve [serve] [flags]`, `varve query`, `varve verify DIR`,
// `varve repair DIR`.

#include "api/varve.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "tools/data_commands.h"
#include "tools/flags.h"
#include "tools/query_command.h"
#include "tools/serve.h"

namespace {

constexpr int kUsageError = 2;

void PrintVersion() {
  fmt::print("varve, version {} (branch: unknown, revision: {})\n",
             varve::Version(), varve::Revision());
  fmt::print("  build user:       unknown\n");
  fmt::print("  build date:       {}\n", varve::BuildDate());
  fmt::print("  compiler:         {}\n", __VERSION__);
  fmt::print("  platform:         linux/amd64\n");
  fmt::print("  tags:             unknown\n");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "varve: a time-series database for Prometheus data.\n"
      "With flags only, the command is serve. Every flag can also be given as "
      "an environment variable: VARVE_STORAGE_TSDB_PATH for "
      "--storage.tsdb.path.",
      "varve");
  varve::ServeFlags flags;
  bool version = false;
  app.add_flag("--version", version, "Print the version and end.");
  flags.AddTo(&app);
  // `serve` takes the same flags: they fall through to the parent.
  app.add_subcommand("serve", "Run the server.")->fallthrough();
  varve::DataCommands data;
  data.AddTo(&app);
  varve::QueryCommand query;
  query.AddTo(&app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    app.exit(e);
    return kUsageError;
  }
  if (version) {
    PrintVersion();
    return 0;
  }
  int exit_code = 0;
  if (data.Run(&exit_code)) return exit_code;
  if (query.Run(&exit_code)) return exit_code;
  if (absl::Status s = flags.Check(); !s.ok()) {
    fmt::print(stderr, "varve: {}\n", varve::Message(s));
    return kUsageError;
  }
  return varve::Serve(flags);
}
