// What systemd is told about us: readiness, a line of status, signs of life. Over libsystemd.
//
// Everything here does nothing when nobody listens (no NOTIFY_SOCKET: started by hand, in a
// container). The environment is read at each call and stays as it is, so that it still works after
// exec in place; our children get it too, but systemd hears the main process alone
// (NotifyAccess=main). A message that could not be sent is logged and otherwise without
// consequence. Any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace bitnetd::supervisor::systemd {

// Whether systemd (or a stand-in) listens.
bool present();

// The start, or a reload, is complete. `status` is what `systemctl status` shows; of any text the
// first 200 bytes, what is not printable ASCII as '?'.
void ready(std::string_view status);
void status(std::string_view text);
// A reload, or an exec in place, begins; ready() ends it. Says when it began (MONOTONIC_USEC), so
// that systemd can tell this ready() from an earlier one.
void reloading();
void stopping(std::string_view status);

// Gives the start or the stop under way `usec` more from now; systemd would give up otherwise.
// To be repeated before it passed.
void extend_timeout(uint64_t usec);

// "I am the service's main process": after a restart in which another pid was.
void main_pid();

// How long systemd waits for the next watchdog() before it kills us (WatchdogSec=); 0: it does not.
// Ping twice as often.
uint64_t watchdog_interval_ns();
void watchdog();

}  // namespace bitnetd::supervisor::systemd
