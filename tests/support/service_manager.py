#!/usr/bin/env python3
"""What systemd is to bitnetd, for tests: service_manager.py PROGRAM [ARGUMENT...]

Starts the program with NOTIFY_SOCKET and keeps the descriptors that it stores (FDSTORE=1, by name).
When it dies by a signal it is started again at once, with what it stored (LISTEN_FDS); what it left
running runs on, as with KillMode=process. When it exits by itself, so does this, with the same code.
TERM, HUP, USR1 and USR2 are passed on; WINCH makes the stored state table unreadable. Every event is a line of JSON on standard error:
  service_started pid fds | service_ready | service_status text | service_died pid signal
  service_ended code | service_left_behind pids   (killed: they outlived an orderly end)
  service_store_full name   (what was stored is dropped)
  service_state_damaged
Like systemd 252 it hears the main process alone, keeps an open file once, under its first name, and
drops what exceeds the store's size without a word to the service."""
import ctypes
import fcntl
import json
import os
import platform
import resource
import select
import signal
import socket
import sys

STORE_MAX = 2048
MESSAGE_BYTES = 65536
FDS_PER_MESSAGE = 253  # the kernel's limit
PR_SET_CHILD_SUBREAPER = 36
KCMP_FILE = 0
SYS_KCMP = {"x86_64": 312, "aarch64": 272}[platform.machine()]
FIRST_FD = 3  # of LISTEN_FDS
STATE_MAGIC_BYTES = range(8)


def tell(event, **fields):
    line = json.dumps({"event": event, **fields}) + "\n"
    os.write(sys.stderr.fileno(), line.encode())  # one write: the service writes there too


def is_same_file(left, right):
    """Whether two descriptors are one open file; inode numbers would not tell (eventfds share one)."""
    return ctypes.CDLL(None).syscall(SYS_KCMP, os.getpid(), os.getpid(), KCMP_FILE, left, right) == 0


class Store:
    def __init__(self):
        self.items = []  # (name, descriptor), in the order of arrival

    def add(self, name, fds):
        for fd in fds:
            if any(is_same_file(fd, held) for _, held in self.items):
                os.close(fd)
            elif len(self.items) >= STORE_MAX:
                tell("service_store_full", name=name)
                os.close(fd)
            else:
                self.items.append((name, fd))

    def damage(self, name, bytes_at):
        for held, fd in self.items:
            if held == name:
                for offset in bytes_at:
                    os.pwrite(fd, b"\xff", offset)

    def remove(self, name):
        for held, fd in self.items:
            if held == name:
                os.close(fd)
        self.items = [item for item in self.items if item[0] != name]


class Manager:
    def __init__(self, command):
        self.command = command
        self.store = Store()
        self.main = 0
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.name = f"@bitnetd-service-manager-{os.getpid()}"
        self.socket.bind("\0" + self.name[1:])
        self.wakeup, signals = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(signals, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, lambda number, _: os.kill(self.main, number))
        signal.signal(signal.SIGWINCH, lambda *_: self.damage_state())

    def damage_state(self):
        self.store.damage("state", STATE_MAGIC_BYTES)
        tell("service_state_damaged")

    def start(self):
        pid = os.fork()
        if pid == 0:
            try:
                self.become_service()
            except OSError as error:
                tell("service_not_started", error=str(error))
            os._exit(203)  # as systemd calls it: EXIT_EXEC
        self.main = pid
        tell("service_started", pid=pid, fds=len(self.store.items))

    def become_service(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        count = len(self.store.items)
        # First out of the way, then to where LISTEN_FDS expects them.
        moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_FD + count) for _, fd in self.store.items]
        for index, fd in enumerate(moved):
            os.dup2(fd, FIRST_FD + index, inheritable=True)
        environment = {**os.environ, "NOTIFY_SOCKET": self.name, "BITNETD_FD_STORE": str(STORE_MAX)}
        if count > 0:
            environment |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(count),
                            "LISTEN_FDNAMES": ":".join(name for name, _ in self.store.items)}
        os.execvpe(self.command[0], self.command, environment)

    def read_messages(self):
        """All that was sent before now: also by a process that is dead since."""
        space = socket.CMSG_SPACE(FDS_PER_MESSAGE * 4) + socket.CMSG_SPACE(12)
        while True:
            try:
                data, ancillary, _, _ = self.socket.recvmsg(
                    MESSAGE_BYTES, space, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            fds, sender = [], 0
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds = list(memoryview(content).cast("i"))
                elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    sender = memoryview(content).cast("i")[0]
            self.take(data.decode(), fds, sender)

    def take(self, text, fds, sender):
        fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        if fields.get("BARRIER") != "1" and sender == self.main:
            if fields.get("FDSTORE") == "1":
                self.store.add(fields.get("FDNAME", "stored"), fds)
                fds = []
            if fields.get("FDSTOREREMOVE") == "1":
                self.store.remove(fields.get("FDNAME", "stored"))
            if fields.get("READY") == "1":
                tell("service_ready")
            if "STATUS" in fields:
                tell("service_status", text=fields["STATUS"])
        for fd in fds:  # a barrier ends by the closing of what came with it
            os.close(fd)

    def reap(self):
        """The exit code of the main process when it ended by itself; None while it is to run."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return None
            if pid == 0:
                return None
            if pid != self.main:
                continue  # left by a main process that died
            self.read_messages()
            if os.WIFSIGNALED(status):
                tell("service_died", pid=pid, signal=os.WTERMSIG(status))
                self.start()
            else:
                return os.WEXITSTATUS(status)

    def run(self):
        self.start()
        while True:
            readable, _, _ = select.select([self.socket, self.wakeup], [], [])
            if self.wakeup in readable:
                os.read(self.wakeup, 4096)
            self.read_messages()
            code = self.reap()
            if code is not None:
                self.end_what_is_left()
                tell("service_ended", code=code)
                return code

    def end_what_is_left(self):
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as children:
            pids = [int(pid) for pid in children.read().split()]
        if pids:
            tell("service_left_behind", pids=pids)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sys.exit(Manager(sys.argv[1:]).run())


if __name__ == "__main__":
    main()
