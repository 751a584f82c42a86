// The keys of a converted file: those of the old one, but for what tells of its storage.
#pragma once

#include <cstdint>
#include <optional>

#include "common/gguf/gguf_writer.h"
#include "common/gguf/metadata.h"
#include "common/quant/quant_types.h"

namespace bitnetd::worker {

// general.file_type of a file whose matrices are mostly `type`; nothing for types without one.
std::optional<uint32_t> file_type_of(quant::Type type);

// `file_type`: absent keeps the old one.
void write_keys(const gguf::Metadata& keys, std::optional<uint32_t> file_type,
                gguf::Writer& writer);

}  // namespace bitnetd::worker
