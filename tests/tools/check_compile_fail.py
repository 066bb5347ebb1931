#!/usr/bin/env python3
"""Compiles programs that must be rejected, and looks for the sentence that the compiler must say.

A file of tests/compile_fail holds either one rejected program with the line

  // expect: the sentence, or a part of it

or several, each between `#ifdef CASE_NAME` and `#endif` with the line

  // expect CASE_NAME: the sentence

in which case the file must compile when no case is chosen: what is around a rejected line is sound.

  check_compile_fail.py [--compiler CXX] [FILE…]
  check_compile_fail.py --self-test
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPECT = re.compile(r"^\s*// expect(?: (?P<case>CASE_\w+))?: (?P<sentence>.+?)\s*$", re.M)


def compile_one(compiler, path, case, sentence):
    """None when the compiler says what it must, else what is wrong."""
    define = [f"-D{case}"] if case else []
    done = subprocess.run([compiler, "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/include",
                           *define, str(path)], capture_output=True, text=True, timeout=120, check=False)
    if sentence is None:
        return f"must compile without a case:\n{done.stderr[-2000:]}" if done.returncode else None
    if done.returncode == 0:
        return "compiles, and must not"
    # The compiler breaks no lines inside a static_assert's text, but quotes and wraps differ.
    if sentence not in done.stderr:
        return f"is rejected without the words '{sentence}':\n{done.stderr[:2000]}"
    return None


def check(paths, compiler):
    jobs = []
    for path in paths:
        expected = list(EXPECT.finditer(path.read_text(encoding="utf-8")))
        if not expected:
            jobs.append((path, None, "(the file has no line '// expect: sentence')"))
        jobs += [(path, m["case"], m["sentence"]) for m in expected]
        if any(m["case"] for m in expected):
            jobs.append((path, None, None))
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for job, wrong in zip(jobs, pool.map(lambda job: compile_one(compiler, *job), jobs)):
            name = f"{job[0].name} {job[1] or ''}".strip()
            print(f"FAILED  {name} {wrong}" if wrong else f"ok      {name}")
            failures += wrong is not None
    print(f"{len(jobs) - failures} passed, {failures} failed")
    return failures


def self_test(compiler):
    reject = '#ifdef CASE_A\n// expect CASE_A: be kind\nstatic_assert(false, "be kind");\n#endif\n'
    cases = [(reject, 0), (reject + "int x = y;\n", 1), (reject.replace("A: be", "A: be not"), 1),
             ("// expect: anything\nint x;\n", 1), ("int x = y;\n", 1), ('// expect: no\nstatic_assert(false, "no");\n', 0)]
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, (text, failures) in enumerate(cases):
            path = pathlib.Path(folder, f"{number}.cpp")
            path.write_text(text)
            bad += check([path], compiler) != failures
    print(f"self-test: {len(cases) - bad} of {len(cases)} cases as expected")
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.self_test:
        return 1 if self_test(arguments.compiler) else 0
    files = arguments.files or sorted((ROOT / "tests/compile_fail").glob("*.cpp"))
    return 1 if check(files, arguments.compiler) else 0


if __name__ == "__main__":
    sys.exit(main())
