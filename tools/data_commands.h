#pragma once

#include <string>

namespace CLI {
class App;
}

namespace varve {

/// `varve verify DIR`, `varve repair DIR`: commands on data that no server uses.
class DataCommands {
 public:
  void AddTo(CLI::App* app);
  /// Runs the command that was given; false: it was none of these. `exit_code`:
  /// 0 all is well, 1 damage was found (and mended), 2 it could not be done.
  bool Run(int* exit_code) const;

 private:
  int Verify() const;
  int Repair() const;

  CLI::App* verify_ = nullptr;
  CLI::App* repair_ = nullptr;
  std::string directory_;
  bool json_ = false;
};

}  // namespace varve
