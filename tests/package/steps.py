"""Named steps of a package test, and how it says that it cannot run here.

Each step prints "ok NAME" or "FAILED NAME" with what was found. The steps after a failed one run all
the same, but for those that name it in `needs`: they are skipped. Exit status: 0, 1, or 77 (skipped,
which ctest shows as such)."""
import contextlib
import subprocess
import sys
import time
import traceback

SKIPPED = 77


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


class Failed(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failed(message)


def run(*command, fails=False, timeout=300, **options):
    """The output (both streams) of a command that must succeed, or fail with fails=True."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=timeout, check=False, **options)
    check((done.returncode != 0) == fails,
          f"{' '.join(command)}: exit status {done.returncode}, {'not ' if fails else ''}0 expected:\n{done.stdout}")
    return done.stdout


def wait_until(holds, what, seconds=120):
    """Waits for something that no command can wait for; fails when it does not come to be."""
    deadline = time.monotonic() + seconds
    while not (result := holds()):
        check(time.monotonic() < deadline, f"not within {seconds} s: {what}")
        time.sleep(0.05)
    return result


class Steps:
    def __init__(self, on_failure=lambda: None):
        self._on_failure = on_failure
        self._failed = []
        self._done = []

    @contextlib.contextmanager
    def _reported(self, name):
        started = time.monotonic()
        try:
            yield
        except Exception as error:  # whatever it is, the next steps tell more
            self._failed.append(name)
            print(f"FAILED {name}: {error}", flush=True)
            if not isinstance(error, Failed):
                traceback.print_exc(file=sys.stdout)
            self._on_failure()
        else:
            self._done.append(name)
            print(f"ok {name} ({time.monotonic() - started:.1f} s)", flush=True)

    def step(self, function, needs=(), unless=None):
        """Runs function, whose name is the step's, unless a reason against it is given."""
        name = function.__name__.replace("_", " ")
        missing = [need.__name__.replace("_", " ") for need in needs]
        missing = [need for need in missing if need not in self._done]
        if unless or missing:
            print(f"skipped {name}: {unless or 'it needs: ' + ', '.join(missing)}", flush=True)
            return
        with self._reported(name):
            function()

    def exit(self):
        if self._failed:
            print(f"{len(self._failed)} steps failed: {', '.join(self._failed)}")
        sys.exit(1 if self._failed else 0)
