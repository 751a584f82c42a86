"""The package under test, as cpack makes it of a build directory."""
import pathlib
import re
import shutil
import subprocess

from steps import Failed, run, skip

PROGRAMS = ["bitnetd", "bitnetctl", "bitnet-shmdump", "bitnetd-frontend", "bitnetd-worker", "bitnetd-loader"]


def build_deb(build, revision="1"):
    """A .deb of what is built in `build`; skips where cpack cannot make one."""
    for tool in ("cpack", "dpkg-deb", "dpkg-shlibdeps"):
        if shutil.which(tool) is None:
            skip(f"{tool} is not there to make the package")
    missing = [name for name in PROGRAMS if not (build / "bin" / name).exists()]
    if missing:
        skip(f"not built yet: {', '.join(missing)}")
    folder = build / "package" / f"revision-{revision}"
    shutil.rmtree(folder, ignore_errors=True)
    run("cpack", "--config", str(build / "CPackConfig.cmake"), "-B", str(folder),
        "-D", f"CPACK_DEBIAN_PACKAGE_RELEASE={revision}", cwd=build)
    found = list(folder.glob("*.deb"))
    if len(found) != 1:
        raise Failed(f"cpack made {len(found)} packages in {folder}, expected 1")
    return found[0]


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
