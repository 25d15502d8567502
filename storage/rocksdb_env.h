#pragma once

#include <memory>

#include "storage/file_system.h"
#include "storage/log.h"

namespace rocksdb {
class Env;
class Logger;
}  // namespace rocksdb

namespace varve {

/// RocksDB's environment with every file operation, locks and directory syncs
/// included, going to `fs`; threads and clocks are the machine's. There is no
/// memory mapping and no direct I/O, so a truncated file is an error and never
/// a SIGBUS. `fs` must outlive it. Thread-safe.
std::unique_ptr<rocksdb::Env> NewRocksDbEnv(FileSystem* fs);

/// RocksDB's own log lines, warnings and worse, to `logger` as "rocksdb".
std::shared_ptr<rocksdb::Logger> NewRocksDbLogger(Logger logger);

}  // namespace varve
