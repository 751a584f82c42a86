"""Debian 12 root file systems made by debootstrap, kept as tarballs in $BITNETD_CACHE (default
/var/tmp/bitnetd-cache), and what a package needs from the archive beside it: tests then install
without a network."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess

from steps import Failed, run, skip

CACHE = pathlib.Path(os.environ.get("BITNETD_CACHE", "/var/tmp/bitnetd-cache"))
SUITE = "bookworm"
CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
# Changed when what is below makes something else of the same packages.
RECIPE = "1"


def need_root_and_debootstrap():
    if os.geteuid() != 0:
        skip("a Debian to install the package in takes root")
    if shutil.which("debootstrap") is None:
        skip("debootstrap is not there (apt-get install debootstrap)")


def _mirror():
    """Where this machine's apt gets the suite from; else Debian's own."""
    said = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {SUITE}",
                           "Component: main", "Created-By: Packages"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return next(iter(said.stdout.split()), "http://deb.debian.org/debian")


def _apt_settings():
    """How this machine's apt reaches the archive: proxies, dates, certificates."""
    settings = run("apt-config", "dump", "Acquire")
    return "".join(line + "\n" for line in settings.splitlines() if re.match(r"Acquire::[^ ]+ \".+\";", line))


def chroot(root, *command, **options):
    return run("chroot", str(root), *command, env=CLEAN, timeout=900, **options)


def _pack(root, tarball, what="."):
    unfinished = tarball.with_suffix(".unfinished")
    run("tar", "-C", str(root), "-cf", str(unfinished), what)
    unfinished.rename(tarball)


def _cached(root, key, make, what="."):
    """Fills `root` from the tarball of that key; make() does it the first time, and `what` of it is kept."""
    CACHE.mkdir(parents=True, exist_ok=True)
    tarball = CACHE / f"debian-12-{key}-{RECIPE}.tar"
    if tarball.exists():
        run("tar", "-C", str(root), "-xf", str(tarball))
        return
    print(f"making {tarball} (minutes, once)", flush=True)
    try:
        make()
        _pack(root, tarball, what)
    except (Failed, subprocess.SubprocessError) as error:
        skip(f"no Debian could be made: {error}")


def unpack_minimal(root):
    """The smallest Debian, as container images are."""
    def make():
        run("debootstrap", "--variant=minbase", SUITE, str(root), _mirror(), timeout=1800)
        certificates = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
        if certificates.exists():
            (root / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
            shutil.copy(certificates, root / "etc/ssl/certs")
        (root / "etc/apt/apt.conf.d/90host").write_text(_apt_settings())
        chroot(root, "apt-get", "update")

    _cached(root, "minimal", make)


def unpack_with(root, packages, deb, depends):
    """The same with `packages`, and in its apt cache what `deb` needs. Only a Debian that cannot be made or an
    archive that is out of reach is a reason to skip: a `deb` that cannot be installed fails."""
    def make():
        unpack_minimal(root)
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        chroot(root, *install, *packages)

    def download():
        chroot(root, *install, "--download-only", "/package.deb")

    install = ["apt-get", "install", "-y", "--no-install-recommends"]
    _cached(root, _key(packages), make)
    shutil.copy(deb, root / "package.deb")
    chroot(root, *install, "--simulate", "/package.deb")
    _cached(root, "needs-" + _key([*packages, depends]), download, "var/cache/apt/archives")
    (root / "package.deb").unlink()


def _key(words):
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:12]
