#include "common/gguf/gguf_reader.h"

#include <algorithm>
#include <bit>
#include <set>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/quote.h"
#include "common/gguf/cursor.h"
#include "common/gguf/tensor_parser.h"
#include "common/gguf/value_parser.h"

namespace bitnetd::gguf {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint64_t kHeaderBytes = 24;
constexpr uint64_t kKeyBytesLeast = 14;     // length, one byte, type, one byte
constexpr uint64_t kTensorBytesLeast = 25;  // length, one byte, dims, type, offset

struct Counts {
    uint64_t tensors;
    uint64_t keys;
};

Result<void> check_count(std::string_view what, uint64_t count, uint64_t most) {
    if (count <= most) return {};
    return invalid("the file claims " + std::to_string(count) + " " + std::string(what) +
                   "; at most " + std::to_string(most) + " are possible");
}

// Magic, version and the two counts.
Result<Counts> read_header(Cursor& cursor, File& file) {
    if (cursor.remaining() < kHeaderBytes) {
        return invalid("the file has " + std::to_string(cursor.remaining()) +
                       " bytes; a GGUF file has at least " + std::to_string(kHeaderBytes));
    }
    BITNETD_ASSIGN(const uint32_t magic, cursor.read<uint32_t>());
    if (magic != kMagic) return invalid("this is no GGUF file: it does not begin with GGUF");
    BITNETD_ASSIGN(file.version, cursor.read<uint32_t>());
    if ((file.version & 0xFFFF) == 0 && file.version != 0) {
        return unsupported("the file is big-endian; only little-endian files are supported");
    }
    if (file.version != 2 && file.version != 3) {
        return unsupported("GGUF version " + std::to_string(file.version) +
                           " is not supported; expected 2 or 3");
    }
    Counts counts{};
    BITNETD_ASSIGN(counts.tensors, cursor.read<uint64_t>());
    BITNETD_ASSIGN(counts.keys, cursor.read<uint64_t>());
    const uint64_t left = cursor.remaining();
    BITNETD_TRY(
        check_count("tensors", counts.tensors, std::min(kTensorsMax, left / kTensorBytesLeast)));
    BITNETD_TRY(check_count("keys", counts.keys, std::min(kKeysMax, left / kKeyBytesLeast)));
    return counts;
}

Result<void> read_alignment(File& file) {
    const Value* value = file.metadata.find("general.alignment");
    if (value == nullptr) return {};
    if (value->type != ValueType::kU32) {
        return invalid("key general.alignment must be u32, found " +
                       std::string(to_string(value->type)));
    }
    file.alignment = std::get<uint64_t>(value->content);
    if (!std::has_single_bit(file.alignment) || file.alignment > kAlignmentMax) {
        return invalid("key general.alignment is " + std::to_string(file.alignment) +
                       "; expected a power of two up to " + std::to_string(kAlignmentMax));
    }
    return {};
}

Result<void> read_tensors(Cursor& cursor, uint64_t count, File& file) {
    std::set<std::string> names;
    for (uint64_t i = 0; i < count; ++i) {
        auto tensor = parse_tensor(cursor);
        if (!tensor) return std::move(tensor).error().within("tensor info " + std::to_string(i));
        if (!names.insert(tensor->name).second) {
            return invalid("tensor " + quote(tensor->name) + " occurs twice");
        }
        file.tensors.push_back(std::move(tensor).value());
    }
    return {};
}

}  // namespace

Result<File> read(Source& source, std::optional<uint64_t> file_type) {
    File file;
    file.file_bytes = source.bytes();
    Cursor cursor(source, std::min(file.file_bytes, kHeadBytesMax));
    BITNETD_ASSIGN(const Counts counts, read_header(cursor, file));
    BITNETD_ASSIGN(file.metadata, parse_metadata(cursor, counts.keys));
    BITNETD_TRY(read_alignment(file));
    BITNETD_TRY(read_tensors(cursor, counts.tensors, file));
    // No overflow: the position is at most kHeadBytesMax and the alignment kAlignmentMax.
    file.data_start = round_up(cursor.position(), file.alignment);
    const uint64_t data_bytes = file.file_bytes - std::min(file.file_bytes, file.data_start);
    BITNETD_ASSIGN(const auto own_type, file.metadata.integer("general.file_type", UINT32_MAX));
    const DataSection section{data_bytes, file.alignment, own_type ? own_type : file_type};
    BITNETD_TRY(resolve_types(file.tensors, section));
    return file;
}

}  // namespace bitnetd::gguf
