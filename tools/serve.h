#pragma once

#include "tools/flags.h"

namespace varve {

/// Runs the server until SIGTERM or SIGINT; returns the exit code. Errors go to
/// the log. To be called from the main thread, before any other thread exists.
int Serve(ServeFlags& flags);

}  // namespace varve
