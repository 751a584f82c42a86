"""The package under test, as cpack makes it of a build directory."""
import pathlib
import re
import shutil
import subprocess

from steps import check, run, skip

SYSTEMD = pathlib.Path(__file__).resolve().parents[2] / "systemd"
PROGRAMS = ["bitnetd", "bitnetctl", "bitnet-shmdump", "bitnetd-frontend", "bitnetd-worker", "bitnetd-loader"]

GPU_WORKER = "bitnetd-worker-cuda"


def programs_in(build):
    """What a package of this build has: the GPU worker where it was built."""
    return PROGRAMS + [name for name in [GPU_WORKER] if (build / "bin" / name).exists()]


def _newest(paths):
    return max(path.stat().st_mtime for path in paths if path.is_file())


def build_deb(build):
    """A .deb of what is built in `build`, made once; skips where cpack cannot make one."""
    for tool in ("cpack", "dpkg-deb", "dpkg-shlibdeps"):
        if shutil.which(tool) is None:
            skip(f"{tool} is not there to make the package")
    programs = [build / "bin" / name for name in PROGRAMS]
    missing = [path.name for path in [*programs, build / "docs/bitnetd.8"] if not path.exists()]
    if missing:
        skip(f"not built yet: {', '.join(missing)} (./dev build)")
    folder = build / "package" / "tested"
    made = list(folder.glob("*.deb"))
    config = build / "CPackConfig.cmake"
    inputs = [*(build / "bin" / name for name in programs_in(build)), config, *SYSTEMD.rglob("*"), *(build / "docs").glob("*")]
    if len(made) != 1 or made[0].stat().st_mtime <= _newest(inputs):
        shutil.rmtree(folder, ignore_errors=True)
        run("cpack", "--config", str(config), "-B", str(folder), cwd=build, timeout=900)
        made = list(folder.glob("*.deb"))
    check(len(made) == 1, f"cpack made {len(made)} packages in {folder}, expected 1")
    return made[0]


def with_revision(deb, revision, folder):
    """The same package once more, as of a later Debian revision."""
    content = pathlib.Path(folder) / f"revision-{revision}"
    run("dpkg-deb", "--raw-extract", str(deb), str(content))
    control = content / "DEBIAN/control"
    version = field(deb, "Version").rsplit("-", 1)[0]
    control.write_text(re.sub(r"(?m)^Version: .*", f"Version: {version}-{revision}", control.read_text()))
    later = pathlib.Path(folder) / f"bitnetd_{version}-{revision}.deb"
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(content), str(later))
    return later


def field(deb, name):
    return run("dpkg-deb", "--field", str(deb), name).strip()


def contents(deb):
    """path -> (mode, owner, link target or None), as in the archive."""
    listing = subprocess.run(["dpkg-deb", "--contents", str(deb)], check=True, stdout=subprocess.PIPE, text=True)
    entries = {}
    for line in listing.stdout.splitlines():
        mode, owner, _, _, _, path = line.split(None, 5)
        path, _, target = path.partition(" -> ")
        entries[re.sub(r"^\.", "", path)] = (mode, owner, target or None)
    return entries


def unpack(deb, folder):
    run("dpkg-deb", "--extract", str(deb), str(folder))
    return pathlib.Path(folder)
