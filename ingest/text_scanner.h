#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace varve {

/// A place in a text and, after a failure, what was wrong and where. Plain
/// pointers, because a scrape passes here once per sample.
struct TextCursor {
  const char* at;
  const char* end;
  const char* error_at = nullptr;
  std::string_view expected = {};

  bool done() const { return at == end; }
  bool Is(char c) const { return at != end && *at == c; }
  bool Skip(char c) {
    if (!Is(c)) return false;
    ++at;
    return true;
  }
  void SkipBlanks() {
    while (at != end && (*at == ' ' || *at == '\t')) ++at;
  }
  bool Fail(const char* where, std::string_view what) {
    error_at = where;
    expected = what;
    return false;
  }
};

/// A label as it stands in the text: without quotes, still escaped.
struct RawLabel {
  std::string_view name;
  std::string_view value;
};

struct RawSeries {
  std::string_view name;  ///< still escaped
  std::vector<RawLabel> labels;
};

enum class LabelGrammar : uint8_t {
  kPrometheus,   ///< blanks between tokens, commas may be left out
  kOpenMetrics,  ///< no blanks, no newline in a value
  kExemplar,     ///< as OpenMetrics, and no metric name
};

/// Reads `name`, `name{labels}` or `{"name", labels}`. `out` may be null when
/// only the extent is wanted. False: see cursor->expected.
bool ScanSeries(TextCursor* cursor, LabelGrammar grammar, RawSeries* out);

/// Reads `{labels}`, the cursor standing on the brace. `named` says whether a
/// metric name was read before it, and afterwards whether one is known.
bool ScanLabels(TextCursor* cursor, LabelGrammar grammar, bool* named,
                RawSeries* out);

/// Reads [a-zA-Z_:][a-zA-Z0-9_:]*; empty if there is none.
std::string_view ScanMetricName(TextCursor* cursor);

/// Reads a string in double quotes and returns what is between them, still
/// escaped. `newline`, `nul`: whether these bytes may stand in it.
bool ScanQuoted(TextCursor* cursor, bool newline, bool nul,
                std::string_view* out);

/// Undoes \\, \n and, if `quotes`, \". Other escapes stay as they are.
std::string Unescape(std::string_view text, bool quotes = true);

/// What stands at `at`, to be put into an error: `"=\"x\""` or `the end`.
std::string Found(const char* at, const char* end);

}  // namespace varve
