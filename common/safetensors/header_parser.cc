#include "common/safetensors/header_parser.h"

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "common/base/quote.h"

namespace bitnetd::safetensors {
namespace {

using nlohmann::json;

constexpr std::string_view kMetadataKey = "__metadata__";

enum class Field : uint8_t { kDType, kShape, kOffsets };
constexpr std::array<std::string_view, 3> kFieldNames = {"dtype", "shape", "data_offsets"};

// Called by the JSON parser for each token; false ends the parse with error().
class HeaderSax final : public json::json_sax_t {
  public:
    Header take_header() { return std::move(header_); }
    bool complete() const { return level_ == Level::kDone; }
    const std::optional<Error>& error() const { return error_; }

    bool null() override { return unexpected("null"); }
    bool boolean(bool) override { return unexpected("a boolean"); }
    bool number_integer(json::number_integer_t) override { return unexpected("a signed number"); }
    bool number_float(json::number_float_t, const std::string&) override {
        return unexpected("a number that is not a plain 64-bit integer");
    }
    bool binary(json::binary_t&) override { return unexpected("binary data"); }

    bool number_unsigned(json::number_unsigned_t value) override {
        if (level_ != Level::kNumbers) return unexpected("a number");
        const size_t max = field_ == Field::kShape ? kDimsMax : 2;
        if (numbers_.size() == max)
            return fail("has more than " + std::to_string(max) + " numbers");
        numbers_.push_back(value);
        return true;
    }

    bool string(std::string& value) override {
        if (level_ == Level::kMetadata) {
            header_.metadata[key_] = value;
            return true;
        }
        if (level_ != Level::kTensor || field_ != Field::kDType) return unexpected("a string");
        const auto type = find_dtype(value);
        if (!type) {
            error_ = unsupported("tensor " + quote(tensor_.name) + " has the dtype " +
                                 quote(value) + ", which is not one that can be read");
            return false;
        }
        tensor_.type = *type;
        return true;
    }

    bool start_object(size_t) override {
        if (level_ == Level::kOutside) {
            level_ = Level::kTop;
            return true;
        }
        if (level_ != Level::kTop) return unexpected("an object");
        level_ = key_ == kMetadataKey ? Level::kMetadata : Level::kTensor;
        seen_ = {};
        return true;
    }

    bool key(std::string& name) override {
        if (level_ == Level::kTop) return begin_entry(name);
        if (level_ == Level::kMetadata) {
            if (header_.metadata.size() == kMetadataMax) return fail("has too many keys");
            if (!header_.metadata.emplace(name, "").second) return fail("repeats a key", name);
            key_ = name;
            return true;
        }
        for (size_t i = 0; i < kFieldNames.size(); ++i) {
            if (name != kFieldNames[i]) continue;
            if (seen_[i]) return fail("repeats a key", name);
            seen_[i] = true;
            field_ = static_cast<Field>(i);
            return true;
        }
        return fail("has an unknown key", name);
    }

    bool end_object() override {
        if (level_ == Level::kTop) {
            level_ = Level::kDone;
            return true;
        }
        if (level_ == Level::kTensor) {
            for (size_t i = 0; i < kFieldNames.size(); ++i) {
                if (!seen_[i]) return fail("lacks a key", kFieldNames[i]);
            }
            header_.tensors.push_back(std::move(tensor_));
        }
        level_ = Level::kTop;
        return true;
    }

    bool start_array(size_t) override {
        if (level_ != Level::kTensor || field_ == Field::kDType) return unexpected("an array");
        level_ = Level::kNumbers;
        numbers_.clear();
        return true;
    }

    bool end_array() override {
        level_ = Level::kTensor;
        if (field_ == Field::kShape) {
            tensor_.shape = numbers_;
            return true;
        }
        if (numbers_.size() != 2) return fail("needs two numbers in", "data_offsets");
        tensor_.begin = numbers_[0];
        tensor_.end = numbers_[1];
        return true;
    }

    bool parse_error(size_t at, const std::string&, const json::exception&) override {
        if (!error_) error_ = invalid("the header is not JSON at byte " + std::to_string(at));
        return false;
    }

  private:
    enum class Level : uint8_t { kOutside, kTop, kMetadata, kTensor, kNumbers, kDone };

    bool begin_entry(const std::string& name) {
        key_ = name;
        if (name == kMetadataKey) {
            if (std::exchange(metadata_seen_, true)) return fail("is there twice");
            return true;
        }
        tensor_ = {};
        tensor_.name = name;
        if (name.empty() || name.size() > kNameBytesMax || name.find('\0') != std::string::npos) {
            return fail("has a name that is empty, too long or holds a NUL");
        }
        if (header_.tensors.size() == kTensorsMax) {
            error_ =
                invalid("the header has more than " + std::to_string(kTensorsMax) + " tensors");
            return false;
        }
        if (!names_.insert(name).second) return fail("is there twice");
        return true;
    }

    // What an error speaks of.
    std::string subject() const {
        if (level_ == Level::kOutside) return "the header";
        if (level_ == Level::kMetadata || key_ == kMetadataKey) return std::string(kMetadataKey);
        return "tensor " + quote(tensor_.name);
    }
    bool fail(const std::string& what) {
        error_ = invalid(subject() + " " + what);
        return false;
    }
    bool fail(const std::string& what, std::string_view name) {
        return fail(what + " " + quote(name));
    }
    bool unexpected(const std::string& what) { return fail("has " + what + " in a wrong place"); }

    Level level_ = Level::kOutside;
    Header header_;
    std::set<std::string> names_;
    bool metadata_seen_ = false;
    std::string key_;    // of the entry, then of the metadata pair
    TensorInfo tensor_;  // being read
    Field field_ = Field::kDType;
    std::array<bool, 3> seen_{};
    std::vector<uint64_t> numbers_;
    std::optional<Error> error_;
};

}  // namespace

Result<Header> parse_header(std::string_view text) {
    if (text.empty() || text.front() != '{') return invalid("the header does not begin with '{'");
    // The JSON reader takes a NUL for the end of its input.
    if (text.find('\0') != std::string_view::npos) return invalid("the header holds a NUL");
    if (text.substr(text.find_last_not_of(' '), 1) != "}") {
        return invalid("the header does not end in '}' and spaces");
    }
    HeaderSax sax;
    const bool parsed = json::sax_parse(text.begin(), text.end(), &sax);
    if (sax.error()) return *sax.error();
    if (!parsed || !sax.complete()) return invalid("the header is not one JSON object");
    return sax.take_header();
}

}  // namespace bitnetd::safetensors
