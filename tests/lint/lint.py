#!/usr/bin/env python3
"""Checks of the source tree that no compiler makes.

Goal: the layout stays what README.md says. Method: text only; each rule prints file:line and what
was expected. Rules: the direction of includes; the size of files; that names in READMEs exist; that
every SYNC() label has both ends and every CRASH() label a fault test; that test programs open with
Goal and Method; that a folder with subfolders has a README of at most 60 lines; words that must not
be in the tree.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A folder may include itself, what it lists here, and system headers. The longest prefix decides.
ALLOWED = {
    "common/base": [],
    "common/log": ["common/base"],
    "common/metrics": [],
    "common/config": ["common/base"],
    "common/confine": ["common/base", "common/log"],
    "common/gguf": ["common/base", "common/quant"],
    "common/quant": ["common/base"],
    "common/safetensors": ["common/base"],
    "common/text": ["common/base"],
    "shm": ["common"],
    "supervisor/lifecycle": ["shm", "common"],
    "supervisor/control": ["supervisor/lifecycle", "shm", "common"],
    "supervisor/ctl": ["supervisor/lifecycle", "shm", "common"],
    "supervisor/docs": ["supervisor/ctl", "supervisor/lifecycle", "shm", "common"],
    "supervisor/frontend": ["shm", "common"],
    "supervisor": ["supervisor/lifecycle", "supervisor/control", "shm", "common"],
    "worker/kernels/reference": ["worker/kernels"],
    "worker/kernels/lanes": ["worker/kernels"],
    "worker/kernels/avx2": ["worker/kernels"],
    "worker/kernels/avx512": ["worker/kernels"],
    "worker/kernels/avx512vnni": ["worker/kernels"],
    "worker/kernels/avx512bf16": ["worker/kernels"],
    "worker/kernels/amx": ["worker/kernels"],
    "worker/kernels/neon": ["worker/kernels"],
    "worker/kernels/neondotprod": ["worker/kernels"],
    "worker/kernels/cuda": ["worker/kernels", "worker/sampler", "common/base"],
    "worker/kernels": ["common"],
    "worker": ["shm", "common"],
}
# Below supervisor/frontend, upper layers know lower ones only.
ALLOWED_FRONTEND = {
    "supervisor/frontend/http": [],
    "supervisor/frontend/dispatch": [],
    "supervisor/frontend/gate": ["supervisor/frontend/dispatch"],
}
FILE_LINES_MAX = 600
WORDS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
MACHINE_PATHS = re.compile(r"(^|[^a-z.])/(work|farm)/")

problems = []


def problem(path, line, text):
    problems.append(f"{path.relative_to(ROOT)}:{line}: {text}")


def tracked(*patterns):
    out = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
                         cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in out.decode().split("\0") if name and (ROOT / name).is_file()]


def area_of(name, table):
    fitting = [area for area in table if name == area or name.startswith(area + "/")]
    return max(fitting, key=len, default=None)


def check_includes(path, lines):
    name = str(path.relative_to(ROOT))
    area = area_of(name, ALLOWED)
    if area is None:
        return
    layer = area_of(name, ALLOWED_FRONTEND)
    for number, line in enumerate(lines, 1):
        match = re.match(r'#include "([^"]+)"', line)
        if not match:
            continue
        target = match.group(1)
        if not (ROOT / target).is_file():
            problem(path, number, f'include "{target}" is not a path from the root of the tree')
            continue
        ok = any(target.startswith(prefix + "/") for prefix in [area, *ALLOWED[area]])
        if layer and target.startswith("supervisor/frontend/"):
            ok = ok and any(target.startswith(p + "/") for p in [layer, *ALLOWED_FRONTEND[layer]])
        if not ok:
            problem(path, number, f'{layer or area} may not include "{target}"')


def check_source(path):
    lines = path.read_text().splitlines()
    check_includes(path, lines)
    if len(lines) > FILE_LINES_MAX:
        problem(path, len(lines), f"{len(lines)} lines; at most {FILE_LINES_MAX}: split it")
    if not lines or not lines[0].startswith(("//", "#pragma", "#!")) and path.suffix in (".h", ".cuh"):
        problem(path, 1, "a header opens with its purpose")


def check_words(path):
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        return
    for number, line in enumerate(text.splitlines(), 1):
        if path.suffix != ".md" and WORDS.search(line):
            problem(path, number, "unfinished work is done or taken out, not marked")
        if MACHINE_PATHS.search(line):
            problem(path, number, "a path of one machine")


def check_readmes():
    for readme in tracked("*README.md"):
        lines = readme.read_text().splitlines()
        folder = readme.parent
        if folder != ROOT and len(lines) > 60:
            problem(readme, len(lines), "a folder's README has at most 60 lines")
        for number, line in enumerate(lines, 1):
            for name in re.findall(r"`([A-Za-z0-9_./@-]+\.(?:cc|cuh|cu|h|def|py|mjs|sh|inl|cmake|json|txt|service|md|in|toml))`", line):
                if not any((base / name).is_file() for base in (ROOT, folder)):
                    problem(readme, number, f"names {name}, which is not there")
            for name in re.findall(r"`([a-z0-9_-]+(?:/[a-z0-9_-]+)*/)`", line):
                if not any((base / name).is_dir() for base in (ROOT, folder)) and not name.startswith(("build/", "proc/")):
                    problem(readme, number, f"names the folder {name}, which is not there")
    # The folders of tests/ mirror the tree or are told of in tests/README.md.
    with_subfolders = {p.parent.parent for p in tracked("common", "shm", "worker", "supervisor")
                       if p.suffix in (".cc", ".h", ".cu", ".cuh")}
    for folder in sorted(with_subfolders):
        if ROOT in folder.parents and not (folder / "README.md").is_file():
            problem(folder / "README.md", 1, "a folder with subfolders has a README.md")


def check_labels(sources):
    text = {path: path.read_text() for path in sources}
    product = {p: t for p, t in text.items() if "tests" not in p.relative_to(ROOT).parts}
    sync = {}
    for path, content in product.items():
        for label in re.findall(r"SYNC\(([a-z_.]+)\)", content):
            sync.setdefault(label, []).append(path)
    for label, places in sync.items():
        if len(places) < 2:
            problem(places[0], 1, f"SYNC({label}) names one end only: write both")
    tests = "\n".join(t for p, t in text.items() if p not in product)
    for path, content in product.items():
        for label in set(re.findall(r"BITNETD_CRASH\(\"?([a-z_.]+)\"?\)", content)):
            if label not in tests:
                problem(path, 1, f"CRASH({label}) has no fault test")


def check_test_openings():
    for path in tracked("tests/*_test.cc", "tests/*.test.mjs"):
        opening = "\n".join(path.read_text().splitlines()[:25])
        for word in ("Goal", "Method"):
            if not re.search(rf"\b{word}\b", opening):
                problem(path, 1, f"a test opens with its Goal and Method: {word} is missing")


def main():
    sources = tracked("*.cc", "*.h", "*.inl", "*.cu", "*.cuh")
    for path in sources:
        if "tests" not in path.relative_to(ROOT).parts:
            check_source(path)
    for path in tracked():
        if path.suffix in (".cc", ".h", ".inl", ".cu", ".cuh", ".py", ".sh", ".mjs", ".md", ".txt", ".cmake", ".def", "") \
                and "corpus" not in path.parts and path != pathlib.Path(__file__).resolve():
            check_words(path)
    check_readmes()
    check_labels(sources)
    check_test_openings()
    for text in problems:
        print(text)
    print(f"lint: {len(sources)} sources, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
