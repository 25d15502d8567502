#include "tools/data_commands.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "api/json_writer.h"
#include "api/maintenance.h"
#include "api/varve.h"

namespace varve {
namespace {

constexpr int kFound = 1;
constexpr int kFailed = 2;

int Fail(const absl::Status& status) {
  fmt::print(stderr, "varve: {}\n", Message(status));
  return kFailed;
}

void PrintFinding(const Finding& finding) {
  fmt::print("{} {}: {}\n", finding.damage ? "damage" : "note  ", finding.file,
             finding.text);
}

void WriteFinding(const Finding& finding, JsonWriter* json) {
  json->BeginObject()
      .Field("kind", finding.damage ? "damage" : "note")
      .Field("file", finding.file)
      .Field("text", finding.text)
      .EndObject();
}

void PrintSummary(const VerifySummary& s) {
  fmt::print(
      "{} blocks with {} series and {} samples; {} log files with {} records, "
      "{} series and {} samples: {} damages, {} notes\n",
      s.blocks, s.block_series, s.block_samples, s.wal_files, s.wal_records,
      s.wal_series, s.wal_samples, s.damages, s.notes);
}

void WriteSummary(const VerifySummary& s, JsonWriter* json) {
  json->Field("blocks", s.blocks)
      .Field("blockSeries", s.block_series)
      .Field("blockSamples", s.block_samples)
      .Field("walFiles", s.wal_files)
      .Field("walRecords", s.wal_records)
      .Field("walSeries", s.wal_series)
      .Field("walSamples", s.wal_samples)
      .Field("damages", s.damages)
      .Field("notes", s.notes);
}

}  // namespace

void DataCommands::AddTo(CLI::App* app) {
  verify_ = app->add_subcommand(
      "verify",
      "Check every byte of a data directory that no server uses, or of a "
      "snapshot. Ends with 0: all is well, 1: damage was found, 2: it could "
      "not be checked.");
  verify_->add_option("directory", directory_, "The data directory.")
      ->required();
  repair_ = app->add_subcommand(
      "repair",
      "Mend a data directory that no server uses: keeps all that can be read, "
      "says what is lost, and deletes nothing. Ends with 0: nothing was "
      "damaged, 1: it is mended, 2: it could not be done.");
  repair_->add_option("directory", directory_, "The data directory.")
      ->required();
  verify_->add_flag("--json", json_, "Print one JSON object.");
}

bool DataCommands::Run(int* exit_code) const {
  if (!verify_->parsed() && !repair_->parsed()) return false;
  *exit_code = verify_->parsed() ? Verify() : Repair();
  return true;
}

int DataCommands::Repair() const {
  RepairOptions options;
  options.directory = directory_;
  options.on_action = [](std::string_view text) { fmt::print("{}\n", text); };
  const auto summary = RepairDirectory(options);
  if (!summary.ok()) return Fail(summary.status());
  if (summary->actions == 0) {
    fmt::print("nothing was damaged\n");
    return 0;
  }
  fmt::print(
      "{} blocks written anew, {} lost; of blocks {} series and {} samples "
      "lost; {} log files written anew, without {} bytes and {} records. What "
      "was replaced or cannot be read is in {}/quarantine.\n",
      summary->blocks_rewritten, summary->blocks_lost, summary->series_lost,
      summary->samples_lost, summary->wal_files_rewritten,
      summary->wal_bytes_lost, summary->wal_records_lost, directory_);
  return kFound;
}

int DataCommands::Verify() const {
  std::string text;
  JsonWriter json(&text);
  json.BeginObject().Key("findings").BeginArray();
  VerifyOptions options;
  options.directory = directory_;
  options.on_finding = [&](const Finding& finding) {
    if (json_) {
      WriteFinding(finding, &json);
    } else {
      PrintFinding(finding);
    }
  };
  const auto summary = VerifyDirectory(options);
  if (!summary.ok()) return Fail(summary.status());
  if (json_) {
    json.EndArray();
    WriteSummary(*summary, &json);
    json.EndObject();
    fmt::print("{}\n", text);
  } else {
    PrintSummary(*summary);
  }
  return summary->damages > 0 ? kFound : 0;
}

}  // namespace varve
