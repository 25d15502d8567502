#include "ingest/text_scanner.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "storage/labels.h"

namespace varve {
namespace {

enum CharClass : uint8_t {
  kFirst = 1,   // may begin a label name
  kDigit = 2,   // may follow in a name
  kColon = 4,   // in metric names only
  kString = 8,  // has a meaning inside quotes
};

constexpr std::array<uint8_t, 256> MakeClasses() {
  std::array<uint8_t, 256> out{};
  for (int c = 'a'; c <= 'z'; ++c) out[c] = kFirst;
  for (int c = 'A'; c <= 'Z'; ++c) out[c] = kFirst;
  for (int c = '0'; c <= '9'; ++c) out[c] = kDigit;
  out['_'] = kFirst;
  out[':'] = kColon;
  out['"'] = out['\\'] = out['\n'] = out[0] = kString;
  return out;
}
constexpr std::array<uint8_t, 256> kClasses = MakeClasses();

bool In(char c, int classes) {
  return (kClasses[static_cast<unsigned char>(c)] & classes) != 0;
}

std::string_view ScanIdentifier(TextCursor* cursor, int colon) {
  const char* start = cursor->at;
  if (start == cursor->end || !In(*start, kFirst | colon)) return {};
  const char* at = start + 1;
  while (at != cursor->end && In(*at, kFirst | kDigit | colon)) ++at;
  cursor->at = at;
  return {start, static_cast<size_t>(at - start)};
}

/// One item between the braces: a label, or the metric name in quotes.
bool ScanLabel(TextCursor* cursor, LabelGrammar grammar, bool* named,
               RawSeries* out) {
  const bool blanks = grammar == LabelGrammar::kPrometheus;
  const char* start = cursor->at;
  std::string_view name;
  const bool quoted = cursor->Is('"');
  if (quoted) {
    const bool newline = grammar != LabelGrammar::kExemplar;
    if (!ScanQuoted(cursor, newline, /*nul=*/false, &name)) return false;
  } else {
    name = ScanIdentifier(cursor, 0);
    if (name.empty()) return cursor->Fail(start, "a label name");
  }
  if (blanks) cursor->SkipBlanks();
  if (quoted && grammar != LabelGrammar::kExemplar &&
      (cursor->Is(',') || cursor->Is('}'))) {
    if (*named) return cursor->Fail(start, "one metric name, not two");
    *named = true;
    if (out != nullptr) out->name = name;
    return true;
  }
  if (!cursor->Skip('=')) return cursor->Fail(cursor->at, "\"=\"");
  if (blanks) cursor->SkipBlanks();
  if (!cursor->Is('"')) {
    return cursor->Fail(cursor->at, "a label value in double quotes");
  }
  std::string_view value;
  if (!ScanQuoted(cursor, blanks, /*nul=*/true, &value)) return false;
  if (out != nullptr) out->labels.push_back({name, value});
  return true;
}

}  // namespace

bool ScanQuoted(TextCursor* cursor, bool newline, bool nul,
                std::string_view* out) {
  const char* start = cursor->at;
  const char* at = start + 1;
  const char* end = cursor->end;
  for (;; ++at) {
    while (at != end && !In(*at, kString)) ++at;
    if (at == end) return cursor->Fail(start, "a closing quote");
    if (*at == '"') break;
    if (*at == '\\') {
      if (++at == end) return cursor->Fail(start, "a closing quote");
      if (*at == '\n') return cursor->Fail(at, "an escape on the same line");
      if (*at == '\0' && !nul) return cursor->Fail(at, "no NUL byte in a name");
    } else if (*at == '\n' && !newline) {
      return cursor->Fail(start, "a closing quote on the same line");
    } else if (*at == '\0' && !nul) {
      return cursor->Fail(at, "no NUL byte in a name");
    }
  }
  *out = {start + 1, static_cast<size_t>(at - start - 1)};
  cursor->at = at + 1;
  return true;
}

std::string_view ScanMetricName(TextCursor* cursor) {
  return ScanIdentifier(cursor, kColon);
}

bool ScanLabels(TextCursor* cursor, LabelGrammar grammar, bool* named,
                RawSeries* out) {
  const bool blanks = grammar == LabelGrammar::kPrometheus;
  ++cursor->at;
  for (;;) {
    if (blanks) cursor->SkipBlanks();
    if (cursor->Skip('}')) return true;
    if (!ScanLabel(cursor, grammar, named, out)) return false;
    if (blanks) cursor->SkipBlanks();
    if (!cursor->Skip(',') && !blanks && !cursor->Is('}')) {
      return cursor->Fail(cursor->at, "\",\" or \"}\"");
    }
  }
}

bool ScanSeries(TextCursor* cursor, LabelGrammar grammar, RawSeries* out) {
  const char* start = cursor->at;
  const std::string_view name = ScanMetricName(cursor);
  bool named = !name.empty();
  if (named) {
    if (out != nullptr) out->name = name;
    const char* after_name = cursor->at;
    if (grammar == LabelGrammar::kPrometheus) cursor->SkipBlanks();
    if (!cursor->Is('{')) {
      cursor->at = after_name;
      return true;
    }
  } else if (!cursor->Is('{')) {
    return cursor->Fail(start, "a metric name");
  }
  if (!ScanLabels(cursor, grammar, &named, out)) return false;
  if (!named) return cursor->Fail(start, "a metric name inside the braces");
  return true;
}

std::string Unescape(std::string_view text, bool quotes) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (text[i] == '\\' &&
        (next == '\\' || next == 'n' || (quotes && next == '"'))) {
      out.push_back(next == 'n' ? '\n' : next);
      ++i;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::string Found(const char* at, const char* end) {
  if (at == end) return "the end";
  constexpr std::ptrdiff_t kShown = 16;
  size_t size = static_cast<size_t>(std::min(end - at, kShown));
  const char* newline = std::find(at, at + size, '\n');
  if (newline != at) size = static_cast<size_t>(newline - at);
  return Quote(std::string_view(at, size));
}

}  // namespace varve
