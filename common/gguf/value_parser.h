// Parses the key/value section: keys, scalars, strings and arrays, each checked against what is
// left of the file before memory is taken for it.
#pragma once

#include <cstdint>

#include "common/base/result.h"
#include "common/gguf/cursor.h"
#include "common/gguf/metadata.h"

namespace bitnetd::gguf {

// Reads `count` pairs at the cursor. Refuses empty and repeated keys, unknown value types and
// arrays of arrays.
Result<Metadata> parse_metadata(Cursor& cursor, uint64_t count);

}  // namespace bitnetd::gguf
