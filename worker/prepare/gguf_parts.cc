#include "worker/prepare/gguf_parts.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "common/base/quote.h"
#include "common/gguf/split_name.h"

namespace bitnetd::worker {
namespace {

using gguf::SplitName;

constexpr uint64_t kPartsMax = 65'535;       // split.count is a u16
constexpr uint64_t kTensorsMax = INT32_MAX;  // split.tensors.count is an i32
constexpr size_t kMissingShown = 4;

// "a.gguf, b.gguf and 3 more": the parts of `split` whose numbers are not in `numbers`.
std::string missing_parts(const SplitName& split, const std::set<uint32_t>& numbers) {
    std::string list;
    const size_t missing = split.count - numbers.size();
    size_t shown = 0;
    for (uint32_t number = 1; number <= split.count && shown < kMissingShown; ++number) {
        if (numbers.contains(number)) continue;
        list += (shown++ == 0 ? "" : ", ") + gguf::part_name(split.prefix, number, split.count);
    }
    if (missing > shown) list += " and " + std::to_string(missing - shown) + " more";
    return list;
}

Result<uint64_t> key_of_part(const gguf::Metadata& keys, std::string_view key, uint64_t max) {
    return gguf::required(key, keys.integer(key, max));
}

Result<void> expect(std::string_view key, uint64_t found, uint64_t expected) {
    if (found == expected) return {};
    return invalid("key " + std::string(key) + " is " + std::to_string(found) + "; expected " +
                   std::to_string(expected));
}

// The file is given alone.
Result<void> check_single(const gguf::Metadata& keys, const std::string& name) {
    BITNETD_ASSIGN(const auto count, keys.integer("split.count", kPartsMax));
    if (!count || *count <= 1) return {};
    std::string missing = "the others";
    const auto split = gguf::parse_split_name(name);
    if (split && split->count == *count) missing = missing_parts(*split, {split->number});
    return invalid("the file is one of " + std::to_string(*count) +
                   " parts of a model and was given alone; missing: " + missing);
}

}  // namespace

Result<void> sort_parts(std::vector<NamedSource>& files) {
    if (files.size() == 1) return {};
    std::optional<SplitName> first;
    std::set<uint32_t> numbers;
    std::vector<std::pair<uint32_t, size_t>> order;
    for (size_t i = 0; i < files.size(); ++i) {
        const auto split = gguf::parse_split_name(files[i].name);
        if (!split) {
            return invalid(quote(files[i].name) +
                           " is not named like a part of a split GGUF file, "
                           "<prefix>-NNNNN-of-NNNNN.gguf, but is one of several files");
        }
        if (!first) first = split;
        const bool fits = split->prefix == first->prefix && split->count == first->count;
        if (!fits || !numbers.insert(split->number).second) {
            return invalid(quote(files[i].name) + " is no further part of the same model as " +
                           quote(files.front().name));
        }
        order.emplace_back(split->number, i);
    }
    if (numbers.size() != first->count) {
        return invalid("parts of the model are missing: " + missing_parts(*first, numbers));
    }
    std::sort(order.begin(), order.end());
    std::vector<NamedSource> sorted;
    for (const auto& [number, index] : order)
        sorted.push_back(std::move(files[index]));
    files = std::move(sorted);
    return {};
}

Result<void> check_part(const gguf::Metadata& keys, const std::vector<NamedSource>& files,
                        size_t index) {
    if (files.size() == 1) return check_single(keys, files.front().name);
    BITNETD_ASSIGN(const uint64_t count, key_of_part(keys, "split.count", kPartsMax));
    BITNETD_TRY(expect("split.count", count, files.size()));
    BITNETD_ASSIGN(const uint64_t number, key_of_part(keys, "split.no", kPartsMax));
    return expect("split.no", number, index);
}

Result<void> check_tensor_total(const gguf::Metadata& keys, uint64_t tensors) {
    BITNETD_ASSIGN(const uint64_t total, key_of_part(keys, "split.tensors.count", kTensorsMax));
    return expect("split.tensors.count", total, tensors);
}

}  // namespace bitnetd::worker
