// Goal: no bytes make the GGUF reader crash, read out of bounds or take memory the input does not
// justify; what it accepts lies within the input.
// Method: the input is the file.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "common/gguf/gguf_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    bitnetd::MemorySource source(std::as_bytes(std::span(data, size)));
    const auto file = bitnetd::gguf::read(source);
    if (!file.ok()) {
        if (file.error().message.empty()) std::abort();
        return 0;
    }
    for (const auto& tensor : file->tensors) {
        if (file->data_start + tensor.offset + tensor.bytes > size) std::abort();
        if (file->find_tensor(tensor.name) != &tensor) std::abort();
    }
    for (const auto& [key, value] : file->metadata.all()) {
        // Every look-up must give a value or an error for every type of value.
        static_cast<void>(file->metadata.integer(key, UINT32_MAX));
        static_cast<void>(file->metadata.number(key));
        static_cast<void>(file->metadata.boolean(key));
        static_cast<void>(file->metadata.text(key));
        static_cast<void>(file->metadata.texts(key));
        static_cast<void>(file->metadata.integers(key));
        static_cast<void>(file->metadata.floats(key));
    }
    return 0;
}
