#!/usr/bin/env python3
"""Builds and runs what the README shows.

Every ```cpp and ```sh block of the README is preceded by a comment that says what happens to it:

  <!-- build: NAME -->          a complete program: saved as NAME.cpp, compiled to NAME, and run: it ends by itself,
                                soon and with status 0
  <!-- build: NAME, prints: … --> the same, and it prints exactly this; ` | ` stands between two lines
  <!-- build: NAME              a fragment: the lines of this comment are the program around it,
  … @snippet@ …                 and the line @snippet@ is where the fragment goes
  -->
  <!-- run -->                  commands: each line must succeed, in a folder that looks like a checkout and holds
                                NAME.cpp and NAME of the blocks above
  <!-- not run: WHY -->         nothing

A block (of any language) after <!-- output --> is compared with what the last program or commands printed: each of its lines must
occur, in this order; `…` in it stands for anything.

  check_readme.py [FILE]        README.md by default
  check_readme.py --self-test
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

PROGRAM_LIMIT_S = 20
ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAGS = ["-std=c++20", "-O0", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", "-pthread"]
BLOCK = re.compile(r"(?:<!--[ ]*(?P<mark>(?:build|run|output|not run)\b.*?)-->\s*\n)?^```(?P<language>\w*)[^\n]*\n"
                   r"(?P<text>.*?)^```[ ]*$", re.M | re.S)


class Failure(Exception):
    pass


def run(command, folder, seconds, **more):
    environment = dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}")
    try:
        return subprocess.run(command, cwd=folder, env=environment, timeout=seconds, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)
    except subprocess.TimeoutExpired:
        raise Failure(f"did not end within {seconds} s") from None


def make(mark, text, folder, compiler):
    """Compiles a program; returns its name and what it is said to print."""
    first, _, around = mark.partition("\n")
    name, _, prints = first.split(":", 1)[1].partition(", prints:")
    name = name.strip()
    if not re.fullmatch(r"\w+", name):
        raise Failure(f"'{name}' is no name for a program")
    if around.strip():
        if "@snippet@" not in around:
            raise Failure("the program around the fragment has no line @snippet@")
        text = around.replace("@snippet@", text)
    (folder / f"{name}.cpp").write_text(text, encoding="utf-8")
    made = run([*compiler, *FLAGS, f"-I{ROOT}/include", f"{name}.cpp", "-o", name], folder, 120)
    if made.returncode:
        raise Failure(f"does not compile:\n{made.stdout[-4000:]}")
    return name, prints.strip().replace(" | ", "\n")


def run_program(name, expected, folder):
    """Runs a program; returns what it printed."""
    done = run([f"./{name}"], folder, PROGRAM_LIMIT_S)
    if done.returncode:
        raise Failure(f"ended with {done.returncode}:\n{done.stdout[-4000:]}")
    if expected and done.stdout.strip() != expected:
        raise Failure(f"is said to print\n{expected}\nand printed\n{done.stdout[-4000:]}")
    return done.stdout


def compare(expected, printed):
    pattern = ".*?".join(r"[^\n]*".join(re.escape(part) for part in line.split("…"))
                         for line in expected.splitlines() if line.strip())
    if not re.search(pattern, printed, re.S):
        raise Failure(f"expected this output:\n{expected}\nand got:\n{printed}")


def check(text, folder, compiler):
    """Handles each block of the README `text`; returns (passed, list of failures)."""
    passed, failures, printed = 0, [], None
    blocks = [(block, (block["mark"] or "").strip()) for block in BLOCK.finditer(text)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as compilers:
        made = {block: compilers.submit(make, mark, block["text"], folder, compiler)
                for block, mark in blocks if mark.startswith("build:")}
    for block, mark in blocks:
        language = block["language"]
        what = f"line {text.count(chr(10), 0, block.start('text'))} ({mark.splitlines()[0] if mark else language})"
        try:
            if mark.startswith("build:"):
                printed = run_program(*made[block].result(), folder)
            elif mark == "run":
                done = run(["bash", "-euo", "pipefail", "-c", block["text"]], folder, 300)
                printed = done.stdout
                if done.returncode:
                    raise Failure(f"ended with {done.returncode}:\n{printed[-4000:]}")
            elif mark == "output":
                if printed is None:
                    raise Failure("nothing ran before this output")
                compare(block["text"], printed)
            elif mark.startswith("not run:") or (not mark and language not in ("cpp", "sh")):
                continue
            else:
                raise Failure("says neither <!-- build: NAME -->, <!-- run --> nor <!-- not run: WHY -->")
            passed += 1
            print(f"ok      {what}")
        except Failure as failure:
            failures.append(f"{what}: {failure}")
            print(f"FAILED  {what}: {failure}")
    return passed, failures


def self_test():
    program = "<!-- build: p -->\n```cpp\n#include <cstdio>\nint main() { std::puts(\"a 7 b\"); }\n```\n"
    fragment = "<!-- build: f\nint main() {\n@snippet@\n}\n-->\n```cpp\nreturn 0;\n```\n"
    run_p = "<!-- run -->\n```sh\n./p\n```\n"
    cases = [
        (program + fragment + run_p + "<!-- output -->\n```\na … b\n```\n", 4, 0),
        (program + "<!-- output -->\n```\na 7 b\n```\n", 2, 0),
        (program.replace(": p", ": p, prints: a 7 b"), 1, 0),
        (program.replace(": p", ": p, prints: a 7"), 0, 1),
        (program.replace(": p", ": p, prints: 1 | 2").replace("a 7 b", "1\\n2"), 1, 0),
        ("<!-- build: p -->\n```cpp\nint main() { return x; }\n```\n", 0, 1),
        ("<!-- build: p -->\n```cpp\nint main() { return 3; }\n```\n", 0, 1),
        ("<!-- build: p -->\n```cpp\n#include <unistd.h>\nint main() { pause(); }\n```\n", 0, 1),
        (program + run_p + "<!-- output -->\n```\na 8 b\n```\n", 2, 1),
        ("<!-- run -->\n```sh\nfalse\ntrue\n```\n", 0, 1),
        ("```cpp\nint x;\n```\n", 0, 1),
        ("<!-- not run: needs a network -->\n```sh\nfalse\n```\n```text\nhello\n```\n", 0, 0),
    ]
    global PROGRAM_LIMIT_S
    PROGRAM_LIMIT_S = 3
    bad = 0
    for text, passed, failed in cases:
        with tempfile.TemporaryDirectory() as folder:
            got = check(text, pathlib.Path(folder), ["g++"])
        if (got[0], len(got[1])) != (passed, failed):
            bad += 1
            print(f"expected {passed} passed and {failed} failed, got {got} for\n{text}")
    print(f"self-test: {len(cases) - bad} of {len(cases)} cases as expected")
    return 1 if bad else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    readme = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "README.md"
    if not readme.is_file():
        print(f"{readme} does not exist")
        return 1
    ccache = subprocess.run(["sh", "-c", "command -v ccache"], stdout=subprocess.DEVNULL, check=False).returncode == 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for entry in ("include", "single_include", "examples", "tests", "CMakeLists.txt", "meson.build"):
            (folder / entry).symlink_to(ROOT / entry)
        passed, failures = check(readme.read_text(encoding="utf-8"), folder, ["ccache", "g++"] if ccache else ["g++"])
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
