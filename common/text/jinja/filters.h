// The filters behind find_filter(), in two files by what they work on.
#pragma once

#include <span>
#include <string_view>

#include "common/text/jinja/builtins.h"

namespace bitnetd::text::jinja {

struct FilterRow {
    std::string_view name;
    Filter filter;
};
std::span<const FilterRow> text_filters();      // filters_text.cc
std::span<const FilterRow> sequence_filters();  // filters_sequence.cc

}  // namespace bitnetd::text::jinja
