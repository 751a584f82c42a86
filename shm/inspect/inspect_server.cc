#include "common/base/clock.h"
#include "shm/control/channel.h"
#include "shm/control/text_field.h"
#include "shm/inspect/inspect.h"
#include "shm/segment/segment.h"

namespace bitnetd::shm {
namespace {
using Json = nlohmann::ordered_json;

constexpr uint64_t kAnswerTimeoutMs = 5'000;
constexpr size_t kItemsMax = 4'096;

enum ItemKind : uint32_t { kItemBoard = 1, kItemRequestRing = 2, kItemTokenRing = 3 };

Result<Json> contents_of(const InspectItem& item, const Message& message) {
    BITNETD_TRY(message.expect_fds(1));
    BITNETD_TRY(check_size_sealed(message.fds[0].get()));
    BITNETD_ASSIGN(const Segment segment, Segment::map(message.fds[0].get(), Access::kRead));
    switch (item.kind) {
        case kItemBoard:
            return inspect_board(segment.view(), monotonic_ns());
        case kItemRequestRing:
        case kItemTokenRing:
            return inspect_ring(segment.view());
        default:
            return unsupported("segment of unknown kind " + std::to_string(item.kind));
    }
}

Result<Json> describe_item(const Message& message) {
    BITNETD_ASSIGN(const InspectItem item, message.as<InspectItem>());
    Json to{{"name", printable(field_text(item.name))},
            {"kind", item.kind == kItemBoard ? "board" : "ring"},
            {"incarnation", item.incarnation},
            {"alive", item.alive != 0}};
    if (auto contents = contents_of(item, message); contents.ok()) {
        to["contents"] = std::move(contents).value();
    } else {
        to["error"] = contents.error().message;
    }
    return to;
}

}  // namespace

Result<Json> inspect_server(const std::string& control_path) {
    BITNETD_ASSIGN(Fd socket, Channel::connect(control_path));
    Channel channel(std::move(socket));
    BITNETD_TRY(channel.send(MessageType::kInspect));
    const uint64_t deadline_ns = monotonic_ns() + kAnswerTimeoutMs * kNsPerMs;
    Json items = Json::array();
    while (true) {
        BITNETD_ASSIGN(const Message message, channel.wait(deadline_ns));
        if (message.type == MessageType::kInspectEnd) return items;
        if (message.type != MessageType::kInspectItem || items.size() >= kItemsMax) {
            return invalid("unexpected answer to inspect: message " +
                           std::to_string(static_cast<unsigned>(message.type)) + " after " +
                           std::to_string(items.size()) + " segments");
        }
        BITNETD_ASSIGN(Json item, describe_item(message));
        items.push_back(std::move(item));
    }
}

}  // namespace bitnetd::shm
