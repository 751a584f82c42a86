// Names of descriptors that one supervisor leaves to the next. They are made of numbers that stay
// the same (incarnations, model keys, slots), so that both sides make the same name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace bitnetd::supervisor {

inline constexpr size_t kFdNameBytesMax = 200;  // systemd takes 255

// Letters, digits, '.', '-', '_': no ':' above all, which separates names in LISTEN_FDNAMES.
Result<void> check_fd_name(std::string_view name);

namespace fd_name {

inline constexpr std::string_view kState = "state";      // the state table
inline constexpr std::string_view kControl = "control";  // the control listener

std::string listener(uint32_t number);  // "listen3"
bool is_listener(std::string_view name);
std::string model(uint64_t model_key, std::string_view what);      // "m7.weights", "m7.vocabulary"
std::string process(uint64_t incarnation, std::string_view what);  // "p12.board"
std::string kv_arena(uint32_t slot);                               // "kv2", of the worker's slot
// "r3-12.requests": of the rings between a frontend and a worker
std::string ring(uint64_t frontend, uint64_t worker, std::string_view what);

}  // namespace fd_name
}  // namespace bitnetd::supervisor
