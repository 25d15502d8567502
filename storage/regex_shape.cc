#include "storage/regex_shape.h"

#include <algorithm>

namespace varve {
namespace {

/// Texts of an alternation, and of brackets multiplied out.
constexpr size_t kTextsMax = 4096;
/// Prefixes beyond which it is cheaper to look at every value.
constexpr size_t kPrefixesMax = 256;
constexpr size_t kBytesMax = size_t{1} << 20;
constexpr int kDepthMax = 40;

/// Bytes of a regex that stand for anything but themselves, one of them always
/// before a backslash.
constexpr std::string_view kMetaBytes = "\\.+*?()|[]{}^$";

bool IsWordByte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

/// How a text may go on, the more the less is known.
enum class Tail { kNone, kAny, kUnknown };
struct Text {
  std::string text;
  Tail tail = Tail::kNone;
};
using Texts = std::vector<Text>;

/// Reads a regex by recursive descent. What it does not understand but can step
/// over makes tails unknown; anything else gives up.
class Reader {
 public:
  explicit Reader(std::string_view pattern) : in_(pattern) {}

  /// False: nothing can be said.
  bool Read(Texts* out) {
    *out = Alternation(0);
    return !failed_ && at_ == in_.size();
  }

 private:
  bool more() const { return !failed_ && at_ < in_.size(); }
  char peek() const { return in_[at_]; }
  Texts Fail() {
    failed_ = true;
    return {};
  }

  Texts Alternation(int depth) {
    if (depth > kDepthMax) return Fail();
    Texts all;
    while (true) {
      Texts one = Concatenation(depth);
      all.insert(all.end(), one.begin(), one.end());
      if (all.size() > kTextsMax) return Fail();
      if (!more() || peek() != '|') return all;
      ++at_;
    }
  }

  Texts Concatenation(int depth) {
    Texts all = {{}};
    bool first = true;
    while (more() && peek() != '|' && peek() != ')') {
      const bool dot = peek() == '.';
      Texts atom = Atom(depth, first);
      first = false;
      Repeat(dot, &atom);
      if (failed_) return {};
      Append(atom, &all);
    }
    return all;
  }

  /// The operator after an atom, if there is one.
  void Repeat(bool dot, Texts* atom) {
    if (!more()) return;
    const char op = peek();
    if (op != '*' && op != '+' && op != '?' && op != '{') return;
    ++at_;
    if (op == '?') {
      atom->push_back({});
    } else if (op == '+') {
      for (Text& text : *atom) text.tail = Tail::kUnknown;
    } else {
      *atom = {{"", op == '*' && dot ? Tail::kAny : Tail::kUnknown}};
    }
    // As few as possible is the same set of texts. What follows a brace is read
    // as text: it comes after an unknown tail.
    if (op != '{' && more() && peek() == '?') ++at_;
    if (more() && (peek() == '*' || peek() == '+' || peek() == '?')) Fail();
  }

  Texts Atom(int depth, bool first) {
    const char c = in_[at_++];
    switch (c) {
      case '(':
        return Group(depth);
      case '[':
        return Class();
      case '\\':
        return Escape();
      case '.':
      case '{':
        return {{"", Tail::kUnknown}};
      case '^':
        if (depth == 0 && first) return {{}};
        return {{"", Tail::kUnknown}};
      case '$':
        if (depth == 0 && (!more() || peek() == '|')) return {{}};
        return {{"", Tail::kUnknown}};
      default:
        break;
    }
    std::string text(1, c);
    // A character is more than a byte, and an operator is about all of it.
    while ((c & 0x80) != 0 && more() && (peek() & 0xc0) == 0x80) {
      text += in_[at_++];
    }
    return {{std::move(text)}};
  }

  Texts Group(int depth) {
    if (more() && peek() == '?') {
      // Flags would change what is inside, and after it.
      if (!in_.substr(at_).starts_with("?:")) return Fail();
      at_ += 2;
    }
    Texts inside = Alternation(depth + 1);
    if (!more() || peek() != ')') return Fail();
    ++at_;
    return inside;
  }

  /// After the backslash.
  Texts Escape() {
    if (!more()) return Fail();
    const char c = in_[at_++];
    if (!IsWordByte(c)) return {{std::string(1, c)}};
    // Others have arguments.
    if (std::string_view("dDwWsSbB").find(c) == std::string_view::npos) {
      return Fail();
    }
    return {{"", Tail::kUnknown}};
  }

  /// After the bracket: a few single characters and ranges of them, ASCII.
  Texts Class() {
    Texts out;
    while (more() && peek() != ']') {
      const char c = in_[at_++];
      char last = c;
      if (c == '^' || c == '[' || c == '\\' || c == '-' || (c & 0x80) != 0) {
        return Fail();
      }
      if (in_.substr(at_).starts_with("-")) {
        ++at_;
        if (!more()) return Fail();
        last = in_[at_++];
        if (!IsWordByte(c) || !IsWordByte(last) || (last & 0x80) != 0) {
          return Fail();
        }
      }
      for (int byte = c; byte <= last; ++byte) {
        out.push_back({std::string(1, static_cast<char>(byte))});
      }
    }
    if (!more() || out.empty()) return Fail();
    ++at_;
    return out;
  }

  /// Every text of `all` that has an end goes on with each of `atom`.
  void Append(const Texts& atom, Texts* all) {
    if (std::all_of(all->begin(), all->end(),
                    [](const Text& t) { return t.tail == Tail::kUnknown; })) {
      return;
    }
    for (const Text& next : atom) bytes_ += all->size() * next.text.size();
    if (bytes_ > kBytesMax) return (void)Fail();
    const bool known = all->size() * atom.size() <= kTextsMax;
    if (atom.size() == 1 || !known) {
      for (Text& text : *all) Extend(known ? &atom[0] : nullptr, &text);
      return;
    }
    Texts out;
    for (const Text& text : *all) {
      if (text.tail != Tail::kNone) {
        out.push_back({text.text, Tail::kUnknown});
        continue;
      }
      for (const Text& next : atom) {
        out.push_back({text.text + next.text, next.tail});
      }
    }
    *all = std::move(out);
  }

  /// Null: with anything.
  static void Extend(const Text* next, Text* text) {
    if (next == nullptr) {
      text->tail = Tail::kUnknown;
    } else if (text->tail == Tail::kNone) {
      text->text += next->text;
      text->tail = next->tail;
    } else if (!next->text.empty() || next->tail != Tail::kNone) {
      text->tail = Tail::kUnknown;
    }
  }

  const std::string_view in_;
  size_t at_ = 0;
  size_t bytes_ = 0;  // of all texts that were ever made
  bool failed_ = false;
};

void SetPrefixes(const Texts& sorted, RegexShape* out) {
  std::vector<std::string> prefixes;
  bool any_tail = true;
  for (const Text& text : sorted) {
    if (!prefixes.empty() && text.text.starts_with(prefixes.back())) {
      // Of equal texts the one that stands first says more than this.
      continue;
    }
    any_tail &= text.tail == Tail::kAny;
    prefixes.push_back(text.text);
  }
  if (prefixes.size() > kPrefixesMax) {
    const std::string& first = prefixes.front();
    const std::string& last = prefixes.back();
    const auto end =
        std::mismatch(first.begin(), first.end(), last.begin(), last.end());
    prefixes = {std::string(first.begin(), end.first)};
    any_tail = false;
  }
  if (prefixes.front().empty()) return;
  out->prefixes = std::move(prefixes);
  out->any_tail = any_tail;
}

/// `.*text` and `.*text.*`.
void FindMiddle(std::string_view pattern, RegexShape* out) {
  if (!pattern.starts_with(".*")) return;
  pattern.remove_prefix(2);
  const bool open = pattern.ends_with(".*") && !pattern.ends_with("\\.*");
  if (open) pattern.remove_suffix(2);
  std::string text;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\' && i + 1 < pattern.size() &&
        !IsWordByte(pattern[i + 1])) {
      ++i;
    } else if (kMetaBytes.find(pattern[i]) != std::string_view::npos) {
      return;
    }
    text += pattern[i];
  }
  (open ? out->infix : out->suffix) = std::move(text);
}

}  // namespace

RegexShape ShapeOfRegex(std::string_view pattern) {
  RegexShape out;
  FindMiddle(pattern, &out);
  Texts texts;
  if (!Reader(pattern).Read(&texts)) return out;
  // An open tail before an end of the same text: it matches more.
  std::sort(texts.begin(), texts.end(), [](const Text& a, const Text& b) {
    if (a.text != b.text) return a.text < b.text;
    return (a.tail == Tail::kAny) > (b.tail == Tail::kAny);
  });
  out.is_set = std::all_of(texts.begin(), texts.end(),
                           [](const Text& t) { return t.tail == Tail::kNone; });
  if (out.is_set) {
    for (const Text& text : texts) out.exact.push_back(text.text);
    out.exact.erase(std::unique(out.exact.begin(), out.exact.end()),
                    out.exact.end());
  }
  SetPrefixes(texts, &out);
  return out;
}

}  // namespace varve
