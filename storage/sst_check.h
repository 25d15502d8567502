#pragma once

#include <absl/status/status.h>

#include <string>

#include "storage/file_system.h"

namespace varve {

/// Whether RocksDB can be let at a table file. RocksDB 7.8 builds its reader of
/// the properties block before it looks at that block's checksum, and takes the
/// sizes in the footer for true: damage there ends the process, by an assertion
/// or for want of memory. So footer, metaindex and properties are checked here
/// first; everything else RocksDB checks itself. DataLoss names the file.
///
/// The format: footer version 5 (of our options, see storage/index.md), blocks
/// followed by a byte of compression type and 32 bits of XXH3.
absl::Status CheckSst(const RandomAccessFile& file, const std::string& path);

}  // namespace varve
