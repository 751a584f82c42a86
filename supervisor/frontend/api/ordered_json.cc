#include "supervisor/frontend/api/ordered_json.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace bitnetd::frontend {
namespace {

// What an ordered object is underneath: appending here looks for nothing.
using Members = std::vector<std::pair<const std::string, OrderedJson>>;

Members& members_of(OrderedJson& object) {
    return object.get_ref<OrderedJson::object_t&>();
}

void drop_duplicates(Members& members) {
    std::vector<size_t> by_key(members.size());
    std::iota(by_key.begin(), by_key.end(), size_t{0});
    std::stable_sort(by_key.begin(), by_key.end(), [&members](size_t a, size_t b) {
        return members[a].first < members[b].first;
    });
    const auto same_key = [&members](size_t a, size_t b) {
        return members[a].first == members[b].first;
    };
    if (std::adjacent_find(by_key.begin(), by_key.end(), same_key) == by_key.end()) return;
    constexpr size_t kDropped = SIZE_MAX;
    std::vector<size_t> value_of(members.size(), kDropped);  // of a key that stays: whose value
    for (size_t begin = 0, end = 0; begin < by_key.size(); begin = end) {
        while (end < by_key.size() && same_key(by_key[begin], by_key[end]))
            ++end;
        value_of[by_key[begin]] = by_key[end - 1];
    }
    Members kept;
    for (size_t i = 0; i < members.size(); ++i) {
        if (value_of[i] != kDropped)
            kept.emplace_back(members[i].first, std::move(members[value_of[i]].second));
    }
    members.swap(kept);
}

// Takes the parser's events and puts each value where it belongs.
class Builder final : public nlohmann::json_sax<OrderedJson> {
  public:
    explicit Builder(OrderedJson& root) : root_(root) {}

    const std::optional<JsonFault>& fault() const { return fault_; }

    bool null() override { return leaf(nullptr); }
    bool boolean(bool value) override { return leaf(value); }
    bool number_integer(number_integer_t value) override { return leaf(value); }
    bool number_unsigned(number_unsigned_t value) override { return leaf(value); }
    bool number_float(number_float_t value, const string_t&) override { return leaf(value); }
    bool string(string_t& value) override { return leaf(std::move(value)); }
    bool binary(binary_t&) override { return false; }  // not in text
    bool start_object(std::size_t) override { return open(OrderedJson::object()); }
    bool start_array(std::size_t) override { return open(OrderedJson::array()); }
    bool key(string_t& value) override {
        key_ = std::move(value);
        return true;
    }
    bool end_object() override {
        drop_duplicates(members_of(*open_.back()));
        open_.pop_back();
        return true;
    }
    bool end_array() override {
        open_.pop_back();
        return true;
    }
    bool parse_error(std::size_t byte, const std::string&,
                     const nlohmann::detail::exception& error) override {
        constexpr int kNumberTooLarge = 406;
        fault_ = {error.id == kNumberTooLarge, byte};
        return false;
    }

  private:
    // Pointers in open_ stay right: a container grows only when none inside it is open.
    OrderedJson& place(OrderedJson value) {
        if (open_.empty()) return root_ = std::move(value);
        OrderedJson& parent = *open_.back();
        if (parent.is_array()) {
            auto& items = parent.get_ref<OrderedJson::array_t&>();
            return items.emplace_back(std::move(value));
        }
        return members_of(parent).emplace_back(std::move(key_), std::move(value)).second;
    }
    bool leaf(OrderedJson value) {
        place(std::move(value));
        return true;
    }
    bool open(OrderedJson container) {
        open_.push_back(&place(std::move(container)));
        return true;
    }

    OrderedJson& root_;
    std::vector<OrderedJson*> open_;
    std::string key_;
    std::optional<JsonFault> fault_;
};

}  // namespace

std::optional<JsonFault> read_ordered_json(std::string_view text, OrderedJson& value) {
    Builder builder(value);
    OrderedJson::sax_parse(text, &builder);
    return builder.fault();
}

}  // namespace bitnetd::frontend
