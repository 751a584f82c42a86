#!/usr/bin/env python3
"""Goal: docker/Dockerfile.cpu makes an image that serves as an ordinary user with a read-only root,
says when it is ready, and stops when it is asked to.

Method: buildah builds it (chroot isolation, over a base made by debootstrap, since registries may be
out of reach) from the package that cpack makes of a build directory (the argument). Its file system
then runs under systemd-nspawn as its configuration says: user, environment, entrypoint as process 1,
writable volumes and nothing else."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from debian import CACHE, CLEAN, need_root_and_debootstrap, unpack_minimal
from debs import build_deb
from machine import first_process, need_nspawn
from steps import Failed, Steps, check, run, skip, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "tests/golden/demo-model/bitnet-tiny-stories-5m-i2_s.gguf"
MACHINE = f"bitnetd-image-{os.getpid()}"


class Test:
    def __init__(self, deb, scratch):
        self._deb = deb
        self._scratch = pathlib.Path(scratch)
        self._container = None

    def buildah(self, *arguments, **options):
        return run("buildah", "--root", str(self._scratch / "store"), "--runroot", str(self._scratch / "run"),
                   "--storage-driver", "vfs", *arguments, timeout=1200, **options).strip()

    # --- steps -----------------------------------------------------------------------------------
    def build_the_image(self):
        base = self._scratch / "base"
        base.mkdir()
        unpack_minimal(base)
        need_nspawn(base)
        try:
            name = self.buildah("from", "scratch").splitlines()[-1]
            self.buildah("add", "--quiet", name, str(base), "/")
            self.buildah("commit", "--quiet", "--rm", name, "localhost/debian")
        except Failed as error:  # nothing of ours is in it yet
            skip(f"buildah cannot make an image here: {error}")
        shutil.rmtree(base)
        # What the Dockerfile names of the tree, and the package: nothing is compiled again.
        context = self._scratch / "context"
        shutil.copytree(ROOT / "docker", context / "docker")
        shutil.copy(self._deb, context)
        self.buildah("build", "--isolation", "chroot", "--format", "docker", "--build-arg", "BASE=localhost/debian",
                     "--file", str(context / "docker/Dockerfile.cpu"), "--tag", "localhost/bitnetd", str(context))

    def it_is_configured_for_strangers(self):
        image = json.loads(self.buildah("inspect", "--type", "image", "localhost/bitnetd"))["Docker"]["config"]
        self.config = image
        check(image["User"] == "10001:10001", f"it runs as {image['User']!r}")
        check(image["Healthcheck"]["Test"][0] == "CMD", f"its health check is {image['Healthcheck']}")
        check("8080/tcp" in image["ExposedPorts"], f"it exposes {image['ExposedPorts']}")

    def it_serves_with_a_read_only_root(self):
        name = self.buildah("from", "localhost/bitnetd").splitlines()[-1]
        self._root = pathlib.Path(self.buildah("mount", name))
        models = self._scratch / "models"
        models.mkdir()
        shutil.copy(MODEL, models / "demo.gguf")
        self._console = open(self._scratch / "console", "wb")
        self._container = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--directory", str(self._root), "--read-only",
             "--private-network", "--machine", MACHINE, "--link-journal=no", "--resolv-conf=off", "--timezone=off",
             "--console=pipe", "--user=bitnetd", "--drop-capability=all", "--no-new-privileges=yes",
             *(f"--tmpfs={volume}:uid=10001,gid=10001" for volume in self.config["Volumes"]),
             *(f"--setenv={variable}" for variable in self.config["Env"]), f"--bind-ro={models}:/models",
             *self.config["Entrypoint"], "--auth.mode", "none", "--model", "demo=/models/demo.gguf"],
            stdin=subprocess.DEVNULL, stdout=self._console, stderr=subprocess.STDOUT, env=CLEAN, start_new_session=True)
        self._first = wait_until(self._first_process, "systemd-nspawn starts a process")
        wait_until(self._is_ready, "the health check passes")
        answer = run("nsenter", "--target", str(self._first), "--net", "curl", "--silent", "--fail-with-body",
                     "http://127.0.0.1:8080/v1/completions", "--json", '{"prompt": "Once upon a time", "max_tokens": 8}')
        check(json.loads(answer)["usage"]["completion_tokens"] == 8, answer)

    def it_is_nobody_and_can_write_nowhere_else(self):
        status = pathlib.Path(f"/proc/{self._first}/status").read_text()
        check("Uid:\t10001\t10001\t10001\t10001" in status, status)
        check("CapEff:\t0000000000000000" in status, status)
        writable = self._in("sh", "-c", "for d in / /etc /usr/bin /var/lib /run /models; do "
                                        "[ ! -w $d ] || echo $d; done")
        check(writable == "", f"it may write to {writable}")

    def it_stops_when_it_is_asked_to(self):
        os.kill(self._first, getattr(signal, self.config.get("StopSignal", "SIGTERM")))
        status = self._container.wait(120)
        self._container = None
        check(status == 0, f"exit status {status}:\n{self.console()}")

    # ---------------------------------------------------------------------------------------------
    def _first_process(self):
        check(self._container.poll() is None, f"the container ended:\n{self.console()}")
        return first_process(self._container.pid)

    def _in(self, *command):
        return run("nsenter", "--target", str(self._first), "--all", "--setuid=10001", "--setgid=10001", *command,
                   env=CLEAN)

    def _is_ready(self):
        check(self._container.poll() is None, f"the container ended:\n{self.console()}")
        try:
            self._in(*self.config["Healthcheck"]["Test"][1:])
        except Failed:
            return False
        return True

    def console(self):
        return (self._scratch / "console").read_text(errors="replace")[-4000:]

    def tell(self):
        if (self._scratch / "console").exists():
            print(self.console())

    def close(self):
        if self._container is not None:
            self._container.kill()
            self._container.wait()
        run("buildah", "--root", str(self._scratch / "store"), "--runroot", str(self._scratch / "run"),
            "--storage-driver", "vfs", "rm", "--all")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # somebody's patience ended: clean up all the same
    need_root_and_debootstrap()
    if shutil.which("buildah") is None:
        skip("buildah is not there (apt-get install buildah)")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="image-", dir=CACHE) as scratch:
        try:
            test = Test(build_deb(pathlib.Path(sys.argv[1]).resolve()), scratch)
        except Failed as error:
            sys.exit(f"FAILED build the package: {error}")
        steps = Steps(test.tell)
        try:
            steps.step(test.build_the_image)
            steps.step(test.it_is_configured_for_strangers, needs=[test.build_the_image])
            steps.step(test.it_serves_with_a_read_only_root, needs=[test.it_is_configured_for_strangers])
            served = [test.it_serves_with_a_read_only_root]
            steps.step(test.it_is_nobody_and_can_write_nowhere_else, needs=served)
            steps.step(test.it_stops_when_it_is_asked_to, needs=served)
        finally:
            test.close()
    steps.exit()


if __name__ == "__main__":
    main()
