#!/usr/bin/env python3
"""Goal: on a Debian 12 with systemd, bitnetd installs, starts, serves, reloads, survives the death of
its supervisor, upgrades and stops as an operator expects, and no client sees an error.

Method: a booted Debian (machine.py) takes the package that cpack makes of a build directory (the
argument) and later another one of a higher revision. Clients (load.py) stream all the while; each text
is compared with the first one of its seed. Nothing is asserted about how fast anything is."""
import contextlib
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

from debian import need_root_and_debootstrap
from debs import build_deb, field, with_revision
from machine import Machine
from steps import Failed, Steps, check, run, wait_until

HERE = pathlib.Path(__file__).resolve().parent
DEMO = HERE.parent / "golden/demo-model"
MODEL = "bitnet-tiny-stories-5m-i2_s.gguf"
URL = "http://127.0.0.1:8080"
CLIENTS = 4
UNIT = "bitnetd.service"

CONFIG = f"""[server]
model = ["demo=/var/lib/bitnetd/models/{MODEL}"]
models_dir = ["/var/lib/bitnetd/models"]
workers = 2
"""


class Load:
    """Clients in the guest's network, from here on until `stop`."""

    def __init__(self, machine):
        self._process = subprocess.Popen(
            machine.on_its_network(sys.executable, str(HERE / "load.py"), URL, str(CLIENTS)),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lines = []
        self._reader = threading.Thread(target=lambda: self._lines.extend(self._process.stdout), daemon=True)
        self._reader.start()

    def more(self, count):
        """Waits until that many further streams ended; fails with the first that ended badly."""
        enough = len(self._lines) + count

        def there_are():
            self._check_all_went_well()
            return len(self._lines) >= enough

        wait_until(there_are, f"{count} more streams")

    def _check_all_went_well(self):
        failed = [line.strip() for line in list(self._lines) if line.strip() != "ok"]
        check(not failed, f"{len(failed)} of {len(self._lines)} streams failed:\n" + "\n".join(failed))

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self):
        self._process.stdin.close()
        self._process.wait(150)
        self._reader.join()
        self._check_all_went_well()
        print(f"  {len(self._lines)} streams, none failed, none different")


@contextlib.contextmanager
def under_load(machine):
    load = Load(machine)
    try:
        load.more(2 * CLIENTS)  # each client has what it compares with
        yield load
        load.more(2 * CLIENTS)
        load.stop()
    finally:
        load.kill()


class Test:
    def __init__(self, first, second):
        self.first = first
        self.second = second
        self.machine = Machine(first, field(first, "Depends"))

    # --- helpers ---------------------------------------------------------------------------------
    def curl(self, path, *arguments):
        return run(*self.machine.on_its_network(
            "curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "60", *arguments, URL + path))

    def complete(self):
        body = {"prompt": "Once upon a time", "max_tokens": 40, "temperature": 0}
        answer = json.loads(self.curl("/v1/completions", "--json", json.dumps(body)))
        return answer["choices"][0]["text"]

    def is_loaded(self):
        code = run(*self.machine.on_its_network(
            "curl", "--silent", "--show-error", "--max-time", "60", "--output", "/dev/null", "--write-out",
            "%{http_code}", "--json", '{"prompt": "x", "max_tokens": 1}', URL + "/v1/completions"))
        check(code in ("200", "503"), f"expected 200, or 503 until the model is loaded; found {code}")
        return code == "200"

    def check_serves(self):
        golden = json.loads((DEMO / "golden.json").read_text())
        case = next(c for c in golden["cases"] if c["prompt"] == "Once upon a time")
        text = self.complete()
        check(text and case["greedy_text"].startswith(text), f"expected {case['greedy_text']!r}, found {text!r}")

    def ready(self):
        """After a start: systemd says started, and a request is answered."""
        check(self.state() == ("active", "running"), f"{UNIT} is {self.state()}")
        self.check_serves()

    def state(self, unit=UNIT):
        return self.machine.show(unit, "ActiveState"), self.machine.show(unit, "SubState")

    def main_pid(self):
        return int(self.machine.show(UNIT, "MainPID"))

    def workers(self):
        return {pid for pid, name in self.machine.processes(UNIT).items() if name == "bitnetd-worker"}

    def old_programs(self):
        """Of the service, the processes whose file was replaced."""
        links = self.machine.run("sh", "-c", 'for pid in "$@"; do readlink /proc/$pid/exe || true; done', "sh",
                                 *(str(pid) for pid in self.machine.processes(UNIT)))
        return [link for link in links.splitlines() if link.endswith("(deleted)")]

    def write_config(self, text):
        (self.machine.root / "etc/bitnetd/bitnetd.toml").write_text(text)

    def install(self, deb):
        shutil.copy(deb, self.machine.root / "root" / deb.name)
        return self.machine.run("apt-get", "install", "-y", "--no-install-recommends", f"/root/{deb.name}")

    # --- steps -----------------------------------------------------------------------------------
    def boot(self):
        self.machine.boot()

    def a_stop_ends_leftovers_and_a_crash_does_not(self):
        root = self.machine.root
        (root / "usr/lib/end-leftovers").write_bytes((HERE.parents[1] / "systemd/end-leftovers").read_bytes())
        (root / "usr/lib/end-leftovers").chmod(0o755)
        # A parent that leaves a child behind whatever happens to it.
        (root / "etc/systemd/system/parent.service").write_text(
            "[Service]\nKillMode=process\nRestart=always\nRestartSec=100ms\n"
            "ExecStart=/bin/sh -c '(trap \"\" TERM; exec sleep infinity) & exec sleep 1000000'\n"
            "ExecStopPost=+/usr/lib/end-leftovers %n\n")
        unit = "parent.service"
        self.machine.systemctl("daemon-reload")
        self.machine.systemctl("start", unit)
        wait_until(lambda: len(self.machine.processes(unit)) == 2, "two processes")
        old = self.machine.show(unit, "MainPID")
        self.machine.systemctl("kill", "--kill-who=main", "--signal=KILL", unit)
        wait_until(lambda: self.machine.show(unit, "MainPID") not in ("0", old), "the restart")
        wait_until(lambda: len(self.machine.processes(unit)) == 3, "a child of each life, and the parent")
        self.machine.systemctl("stop", unit)
        check(not self.machine.processes(unit), f"still there: {self.machine.processes(unit)}")
        check("was still there: killed" in self.machine.journal(unit), self.machine.journal(unit))

    def install_the_package(self):
        said = self.install(self.first)
        check("name a model in /etc/bitnetd/bitnetd.toml" in said, said)
        check(self.machine.systemctl("is-enabled", UNIT).strip() == "enabled", "the service is not enabled")
        check(self.state()[0] == "inactive", f"without a model it is {self.state()}")
        self.machine.run("getent", "passwd", "bitnetd")

    def start_on_a_model(self):
        shutil.copy(DEMO / MODEL, self.machine.root / "var/lib/bitnetd/models")
        self.write_config(CONFIG)
        self.machine.systemctl("start", UNIT)
        self.ready()
        names = sorted(self.machine.processes(UNIT).values())
        check(names.count("bitnetd-worker") == 2 and "bitnetd-frontend" in names, f"it runs {names}")

    def nothing_was_refused_by_the_sandbox(self):
        bad = [line for line in self.machine.journal(UNIT).splitlines()
               if '"level":"warn"' in line or '"level":"error"' in line]
        check(not bad, "\n".join(bad))

    def reload_applies_what_changed(self):
        self.write_config(CONFIG + "alias = [\"other=demo\"]\n")
        with under_load(self.machine):
            self.machine.systemctl("reload", UNIT)
        answer = self.curl("/v1/completions", "--json", '{"model":"other","prompt":"Hello","max_tokens":4}')
        check(json.loads(answer)["model"] == "demo", answer)

    def reload_of_a_bad_file_names_the_line_and_changes_nothing(self):
        before = self.machine.processes(UNIT)
        self.write_config(CONFIG + "workers_of_the_world = 1\n")
        try:
            self.machine.systemctl("reload", UNIT)
        except Failed:
            pass
        else:
            raise Failed("systemctl reload took a file with an unknown setting")
        finally:
            self.write_config(CONFIG)
        line = len(CONFIG.splitlines()) + 1
        check(f"bitnetd.toml:{line}" in self.machine.journal(UNIT), self.machine.journal(UNIT, "--lines=20"))
        check(self.machine.processes(UNIT) == before, "processes were replaced")
        self.ready()

    def restart(self):
        before = set(self.machine.processes(UNIT))
        self.machine.systemctl("restart", UNIT)
        self.ready()
        check(not before & set(self.machine.processes(UNIT)), "a process of before the restart runs on")

    def the_supervisor_is_killed_under_load(self):
        workers = self.workers()
        with under_load(self.machine) as load:
            for _ in range(3):
                old = self.main_pid()
                self.machine.systemctl("kill", "--kill-who=main", "--signal=KILL", UNIT)
                load.more(CLIENTS)
                wait_until(lambda: self.main_pid() not in (0, old) and self.state() == ("active", "running"),
                           "systemd starts the supervisor again")
        check(self.workers() == workers, f"workers were {workers} and are {self.workers()}")

    def upgrade_under_load(self):
        pid = self.main_pid()
        with under_load(self.machine) as load:
            said = self.install(self.second)
            check("took the new program over" in said, said)
            load.more(CLIENTS)
            wait_until(lambda: not self.old_programs(), "all processes run the new programs")
        check(self.main_pid() == pid, f"the supervisor was {pid} and is {self.main_pid()}")

    def socket_activation(self):
        self.machine.systemctl("stop", UNIT)
        self.machine.systemctl("start", "bitnetd.socket")
        check(self.state()[0] == "inactive", f"{UNIT} is {self.state()} before anybody connected")
        # Who comes before the model is loaded is told when to come back.
        wait_until(self.is_loaded, "the model is there")
        self.check_serves()
        # Whom a first worker serves need not wait for the others.
        wait_until(lambda: self.state() == ("active", "running"), f"{UNIT} is active")
        self.machine.systemctl("stop", "bitnetd.socket", UNIT)

    def another_instance(self):
        (self.machine.root / "etc/bitnetd/second.toml").write_text(
            CONFIG + 'listen = ["127.0.0.1:8081"]\n')
        self.machine.systemctl("start", UNIT, "bitnetd@second.service")
        self.ready()
        run(*self.machine.on_its_network("curl", "--silent", "--fail", "http://127.0.0.1:8081/health/ready"))
        self.machine.systemctl("stop", "bitnetd@second.service")
        check(not self.machine.processes("bitnetd@second.service"), "processes of bitnetd@second are left")
        self.ready()

    def a_stop_finishes_what_runs_and_leaves_nothing(self):
        self.machine.systemctl("start", UNIT)
        stream = subprocess.Popen(self.machine.on_its_network(
            "curl", "--silent", "--no-buffer", "--max-time", "120", URL + "/v1/completions", "--json",
            json.dumps({"prompt": "Once", "max_tokens": 400, "ignore_eos": True, "stream": True})),
            stdout=subprocess.PIPE, text=True)
        first = stream.stdout.readline()
        self.machine.systemctl("stop", UNIT)
        rest = stream.communicate(timeout=120)[0]
        check(first.startswith("data: ") and "[DONE]" in rest, f"the stream was cut: ...{rest[-200:]}")
        check(self.machine.show(UNIT, "Result") == "success", f"the stop was: {self.machine.show(UNIT, 'Result')}")
        check(not self.machine.processes(UNIT), f"still there: {self.machine.processes(UNIT)}")

    def a_stop_of_a_stuck_supervisor_leaves_nothing(self):
        folder = self.machine.root / "etc/systemd/system/bitnetd.service.d"
        folder.mkdir()
        # It hears no TERM: as if it were stuck.
        (folder / "stuck.conf").write_text("[Service]\nKillSignal=SIGWINCH\nTimeoutStopSec=2\n")
        self.machine.systemctl("daemon-reload")
        self.machine.systemctl("start", UNIT)
        self.machine.systemctl("stop", UNIT)
        check(self.machine.show(UNIT, "Result") == "timeout", f"the stop was: {self.machine.show(UNIT, 'Result')}")
        check(not self.machine.processes(UNIT), f"still there: {self.machine.processes(UNIT)}")
        shutil.rmtree(folder)
        self.machine.systemctl("daemon-reload")
        self.machine.systemctl("reset-failed", UNIT)

    def remove_stops_it_and_purge_keeps_models(self):
        self.machine.systemctl("start", UNIT)
        self.machine.run("apt-get", "remove", "-y", "bitnetd")
        check(not self.machine.processes(UNIT), "processes are left")
        check((self.machine.root / "etc/bitnetd/bitnetd.toml").exists(), "the configuration is gone")
        self.machine.run("apt-get", "purge", "-y", "bitnetd")
        check(not (self.machine.root / "etc/bitnetd/bitnetd.toml").exists(), "the configuration is still there")
        check((self.machine.root / "var/lib/bitnetd/models" / MODEL).exists(), "the model is gone")

    # ---------------------------------------------------------------------------------------------
    def all(self, steps):
        steps.step(self.boot)
        steps.step(self.a_stop_ends_leftovers_and_a_crash_does_not, needs=[self.boot])
        steps.step(self.install_the_package, needs=[self.boot])
        steps.step(self.start_on_a_model, needs=[self.install_the_package])
        started = [self.start_on_a_model]
        steps.step(self.nothing_was_refused_by_the_sandbox, needs=started)
        for step in (self.reload_applies_what_changed,
                     self.reload_of_a_bad_file_names_the_line_and_changes_nothing,
                     self.restart,
                     self.the_supervisor_is_killed_under_load,
                     self.upgrade_under_load,
                     self.another_instance,
                     self.a_stop_finishes_what_runs_and_leaves_nothing,
                     self.a_stop_of_a_stuck_supervisor_leaves_nothing,
                     self.socket_activation,
                     self.remove_stops_it_and_purge_keeps_models):
            steps.step(step, needs=started)

    def tell(self):
        """After a failed step: what an operator would look at."""
        with contextlib.suppress(Exception):
            print(self.machine.systemctl("status", "--no-pager", "--lines=0", UNIT, may_fail=True))
            print(self.machine.journal(UNIT, "--lines=40"))


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # somebody's patience ended: clean up all the same
    need_root_and_debootstrap()
    with tempfile.TemporaryDirectory(prefix="bitnetd-package-") as scratch:
        try:
            first = build_deb(build)
            second = with_revision(first, "2", scratch)
            test = Test(first, second)
        except Failed as error:
            sys.exit(f"FAILED make the packages and a Debian for them: {error}")
        steps = Steps(test.tell)
        try:
            test.all(steps)
        finally:
            test.machine.close()
    steps.exit()


if __name__ == "__main__":
    main()
