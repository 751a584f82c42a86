#!/usr/bin/env python3
"""Goal: the package is one that Debian takes, and its units are sound and closed.

Method: cpack makes it of a build directory (the argument); lintian, systemd-analyze verify and
systemd-analyze security read it. Needs neither root nor a booted system."""
import pathlib
import re
import shutil
import sys
import tempfile

from debs import PROGRAMS, build_deb, contents, field, programs_in, unpack
from steps import Failed, Steps, check, run

EXPOSURE_MAX = 1.5
UNITS = ["bitnetd.service", "bitnetd@second.service", "bitnetd.socket", "bitnetd@second.socket", "bitnetd.slice"]


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    try:
        deb = build_deb(build)
    except Failed as error:
        sys.exit(f"FAILED build the package: {error}")
    scratch = tempfile.TemporaryDirectory(prefix="bitnetd-package-")
    root = unpack(deb, scratch.name)
    units = root / "lib/systemd/system"
    no_analyze = None if shutil.which("systemd-analyze") else "systemd-analyze is not there"

    def lintian_finds_no_error():
        print(run("lintian", "--allow-root", "--fail-on", "error", "--tag-display-limit", "0", str(deb)), end="")

    def everything_is_in_its_place():
        entries = contents(deb)
        for program in programs_in(build):
            mode, owner, _ = entries[f"/usr/lib/bitnetd/{program}"]
            check((mode, owner) == ("-rwxr-xr-x", "root/root"), f"{program} is {mode} {owner}")
        for program in PROGRAMS[:3]:
            check(entries[f"/usr/bin/{program}"][2] == f"../lib/bitnetd/{program}", f"/usr/bin/{program} is no link")
        writable = [path for path, (mode, _, target) in entries.items() if not target and "w" in mode[4:]]
        check(not writable, f"others may write to {writable}")
        for page in ("man8/bitnetd.8", "man5/bitnetd.toml.5", "man1/bitnetctl.1", "man1/bitnet-shmdump.1"):
            check(f"/usr/share/man/{page}.gz" in entries, f"{page} is missing")

    def programs_are_stripped():
        for program in PROGRAMS:
            sections = run("readelf", "--sections", "--wide", str(root / "usr/lib/bitnetd" / program))
            check(".debug_info" not in sections, f"{program} has debug information")

    def dependencies_are_libraries_found_in_the_programs():
        depends = field(deb, "Depends")
        for library in ("libc6 (", "libuv1 (", "libseccomp2 (", "systemd | systemd-sysusers"):
            check(library in depends, f"{library} is not among: {depends}")
        check("cuda" not in depends and "nvidia" not in depends, f"a GPU's library is among: {depends}")

    def units_verify_without_a_word():
        # The units that ours name are this machine's.
        shutil.copytree("/lib/systemd/system", units, symlinks=True, dirs_exist_ok=True,
                        ignore=lambda _, names: [n for n in names if n.startswith("bitnetd")])
        said = run("systemd-analyze", "verify", f"--root={root}", "--man=no", *UNITS)
        check(said == "", said)

    def services_are_closed():
        for unit in UNITS[:2]:
            table = run("systemd-analyze", "security", "--offline=true", "--no-pager", f"--root={root}",
                        f"--threshold={round(EXPOSURE_MAX * 10)}", unit)
            print("  " + table.strip().splitlines()[-1])

    def numbers_that_must_agree_do():
        text = (units / "bitnetd.service").read_text()
        store = re.search(r"^FileDescriptorStoreMax=(\d+)$", text, re.M)
        told = re.search(r"^Environment=BITNETD_FD_STORE=(\d+)$", text, re.M)
        check(store and told and store[1] == told[1], "FileDescriptorStoreMax= and BITNETD_FD_STORE differ")
        # bitnetd's default, from the program itself; the unit must leave it the time to drain.
        drain = re.search(r"server\.drain_timeout_ms.*?default (\d[\d,']*)",
                          run(str(root / "usr/lib/bitnetd/bitnetd"), "--help"), re.S)
        stop = re.search(r"^TimeoutStopSec=(\d+)$", text, re.M)
        check(drain and stop, "server.drain_timeout_ms or TimeoutStopSec= is missing")
        drain_s = int(re.sub(r"\D", "", drain[1])) / 1000
        check(int(stop[1]) > drain_s, f"TimeoutStopSec={stop[1]} is not above the drain time of {drain_s} s")

    def the_installed_configuration_is_good_but_for_the_model():
        config = root / "etc/bitnetd/bitnetd.toml"
        bitnetd = str(root / "usr/bin/bitnetd")
        said = run(bitnetd, "--check-config", "--config", str(config), fails=True)
        check("server.model" in said, said)
        config.write_text(re.sub(r"^# (model =|listen =)", r"\1", config.read_text(), flags=re.M))
        run(bitnetd, "--check-config", "--config", str(config))

    steps = Steps()
    steps.step(lintian_finds_no_error, unless=None if shutil.which("lintian") else "lintian is not there")
    steps.step(everything_is_in_its_place)
    steps.step(programs_are_stripped)
    steps.step(dependencies_are_libraries_found_in_the_programs)
    steps.step(units_verify_without_a_word, unless=no_analyze)
    steps.step(services_are_closed, unless=no_analyze)
    steps.step(numbers_that_must_agree_do)
    steps.step(the_installed_configuration_is_good_but_for_the_model)
    scratch.cleanup()
    steps.exit()


if __name__ == "__main__":
    main()
