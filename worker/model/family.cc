#include "worker/model/family.h"

#include <algorithm>

namespace bitnetd::worker {

namespace {

constexpr const Family* kFamilies[] = {
#define BITNETD_FAMILY(constant) &families::constant,
#include "worker/model/families.def"
};

}  // namespace

std::span<const Family* const> families_known() {
    return kFamilies;
}

const Family* find_family(std::string_view name) {
    const auto has_name = [name](const Family* family) {
        return std::find(family->names.begin(), family->names.end(), name) != family->names.end();
    };
    const auto at = std::find_if(std::begin(kFamilies), std::end(kFamilies), has_name);
    return at == std::end(kFamilies) ? nullptr : *at;
}

}  // namespace bitnetd::worker
