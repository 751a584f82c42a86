"""A Debian booted by systemd-nspawn, with systemd as its first process and a network of its own that
nothing else is in: what listens there disturbs nobody and is disturbed by nobody."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

from debian import CACHE, CLEAN, need_root_and_debootstrap, unpack_with
from steps import Failed, check, run, skip, wait_until

PACKAGES = ["systemd-sysv", "dbus"]
CGROUPS = pathlib.Path("/sys/fs/cgroup")


def first_process(nspawn):
    """The pid, here, of what is process 1 of the guest; None as long as there is none."""
    outside = os.readlink("/proc/self/ns/pid")
    for child in pathlib.Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
        with contextlib.suppress(OSError):  # systemd-nspawn has short-lived children too
            if os.readlink(f"/proc/{child}/ns/pid") != outside:
                return int(child)
    return None


def need_nspawn(root):
    """Skips where systemd-nspawn cannot run anything in `root`: in a chroot, for one, or in a container
    that may not mount."""
    for tool in ("systemd-nspawn", "nsenter"):
        if shutil.which(tool) is None:
            skip(f"{tool} is not there (apt-get install systemd-container util-linux)")
    try:
        run("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--directory", str(root), "--private-network",
            "--link-journal=no", "--resolv-conf=off", "--timezone=off", "--console=pipe", "true", env=CLEAN,
            stdin=subprocess.DEVNULL)
    except Failed as error:
        skip(f"systemd-nspawn cannot start a guest here: {error}")


class _OwnCgroup:
    """Where nobody runs systemd (a container, a small virtual machine), systemd-nspawn puts the guest
    beside itself: so it gets a control group of its own first, in each hierarchy that systemd uses."""

    def __init__(self, name):
        tops = [CGROUPS] if (CGROUPS / "cgroup.procs").exists() else [CGROUPS / "unified", CGROUPS / "systemd"]
        self._folders = [top / name for top in tops if (top / "cgroup.procs").exists()]

    def enter(self):  # in the child, before exec
        for folder in self._folders:
            folder.mkdir(exist_ok=True)
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        for folder in self._folders:
            for below, _, _ in os.walk(folder, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(below)


class Machine:
    def __init__(self, deb, depends):
        need_root_and_debootstrap()
        CACHE.mkdir(parents=True, exist_ok=True)
        self._scratch = tempfile.TemporaryDirectory(prefix="machine-", dir=CACHE)
        self.root = pathlib.Path(self._scratch.name) / "root"
        self.root.mkdir()
        self._nspawn = None
        self._cgroup = _OwnCgroup(f"bitnetd-package-{os.getpid()}")
        unpack_with(self.root, PACKAGES, deb, depends)
        need_nspawn(self.root)

    def boot(self):
        command = ["systemd-nspawn", "--quiet", "--boot", "--directory", str(self.root), "--private-network",
                   "--machine", f"bitnetd-package-{os.getpid()}", "--link-journal=no", "--resolv-conf=off",
                   "--timezone=off", "--console=read-only"]
        host_has_systemd = pathlib.Path("/run/systemd/system").is_dir()
        if not host_has_systemd:
            command += ["--register=no", "--keep-unit"]
        self._console = open(self.root.parent / "console", "wb")
        # Debian 12 boots with the unified hierarchy; the guest shall too, whatever this machine has.
        self._nspawn = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._console, stderr=subprocess.STDOUT,
            env={**CLEAN, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}, start_new_session=True,
            preexec_fn=None if host_has_systemd else self._cgroup.enter)
        self._leader = wait_until(self._first_process, "systemd-nspawn starts a process")
        wait_until(self._is_up, "systemd answers in the guest")
        state = self.systemctl("is-system-running", "--wait", may_fail=True).strip()
        check(state == "running", f"the guest is {state}, expected running:\n{self.systemctl('--failed', may_fail=True)}")

    def _first_process(self):
        check(self._nspawn.poll() is None, f"systemd-nspawn ended:\n{self.console()}")
        return first_process(self._nspawn.pid)

    def _is_up(self):
        check(self._nspawn.poll() is None, f"systemd-nspawn ended:\n{self.console()}")
        return subprocess.run([*self._enter(), "test", "-S", "/run/systemd/private"], check=False,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=CLEAN).returncode == 0

    def _enter(self):
        return ["nsenter", "--target", str(self._leader), "--mount", "--uts", "--ipc", "--net", "--pid",
                "--cgroup", "--root", "--wdns=/"]

    def console(self):
        return (self.root.parent / "console").read_text(errors="replace")[-4000:]

    def run(self, *command, **options):
        """The output of a command in the guest."""
        return run(*self._enter(), *command, env=CLEAN, **options)

    def systemctl(self, *arguments, may_fail=False):
        if not may_fail:
            return self.run("systemctl", *arguments)
        return subprocess.run([*self._enter(), "systemctl", *arguments], env=CLEAN, check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300).stdout

    def show(self, unit, name):
        return self.systemctl("show", "--property", name, "--value", unit).strip()

    def on_its_network(self, *command):
        """That command, but with this machine's programs on the guest's network."""
        return ["nsenter", "--target", str(self._leader), "--net", *command]

    def processes(self, unit):
        """pid -> program, of a unit's control group."""
        # A process may end while it is looked at.
        script = ('exec 2> /dev/null; group=$(systemctl show -P ControlGroup "$1"); [ -n "$group" ] || exit 0; '
                  'for pid in $(cat "/sys/fs/cgroup$group/cgroup.procs"); do '
                  'echo "$pid $(tr "\\0" " " < /proc/$pid/cmdline)"; done')
        lines = self.run("sh", "-c", script, "sh", unit).splitlines()
        return {int(line.split()[0]): os.path.basename(line.split()[1]) for line in lines if len(line.split()) > 1}

    def journal(self, unit, *arguments):
        return self.run("journalctl", "--no-pager", "--output=cat", "--unit", unit, *arguments)

    def power_off(self):
        if self._nspawn is not None and self._nspawn.poll() is None:
            self._nspawn.terminate()  # an orderly shutdown
            try:
                self._nspawn.wait(90)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait()
                raise Failed(f"the guest did not shut down within 90 s:\n{self.console()}") from None

    def close(self):
        try:
            self.power_off()
        finally:
            self._cgroup.remove()
            self._scratch.cleanup()
