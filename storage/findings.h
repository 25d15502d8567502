#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "storage/status_macros.h"

namespace varve {

/// Something that a check of a data directory has to say.
struct Finding {
  bool damage = true;  ///< false: worth knowing, but nothing is wrong or lost
  std::string file;    ///< its path
  std::string text;    ///< what is wrong, and where in the file
};

/// Counts findings and passes them on. Single-thread.
class Findings {
 public:
  explicit Findings(std::function<void(const Finding&)> sink)
      : sink_(std::move(sink)) {}

  void Damage(const std::string& file, std::string_view text) {
    ++damages_;
    Add(true, file, text);
  }
  void Damage(const std::string& file, const absl::Status& status) {
    Damage(file, Message(status));
  }
  void Note(const std::string& file, std::string_view text) {
    ++notes_;
    Add(false, file, text);
  }
  int64_t damages() const { return damages_; }
  int64_t notes() const { return notes_; }

 private:
  void Add(bool damage, const std::string& file, std::string_view text) {
    // Messages often begin with the file's name.
    if (text.starts_with(file) && text.substr(file.size()).starts_with(": ")) {
      text.remove_prefix(file.size() + 2);
    }
    if (sink_) sink_({damage, file, std::string(text)});
  }

  const std::function<void(const Finding&)> sink_;
  int64_t damages_ = 0;
  int64_t notes_ = 0;
};

}  // namespace varve
