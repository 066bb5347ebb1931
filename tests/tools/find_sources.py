#!/usr/bin/env python3
"""Lists test sources for meson.build, which has no glob: relative to tests/, by the rules of tests/CMakeLists.txt.

`find_sources.py corpus NAME` lists the inputs that the fuzz target NAME begins with.
"""
import pathlib
import re
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
MAIN = "unit/main.cpp"


def glob(pattern):
    return sorted(path.relative_to(TESTS).as_posix() for path in TESTS.glob(pattern))


def has(name, pattern):
    return re.search(pattern, (TESTS / name).read_text(encoding="utf-8"), re.M) is not None


def with_main(sources):
    if any(has(name, r"^int main\(|DOCTEST_CONFIG_IMPLEMENT") for name in sources):
        return sources
    if any(has(name, "LLVMFuzzerTestOneInput") for name in sources):
        return sources + ["tools/fuzz_main.cpp"]
    return sources + [MAIN]


def programs():
    for folder, suite, prefix in (("integration", "full", "integration_"), ("fuzz", "full", "fuzz_"),
                                  ("exhaustive", "full", "exhaustive_"), ("benchmarks", "benchmark", "benchmark_")):
        for name in glob(f"{folder}/*.cpp"):
            sources = [name] if folder == "benchmarks" else with_main([name])
            yield suite, prefix + pathlib.Path(name).stem, sources
    simulation = glob("simulation/**/*.cpp")
    if simulation:
        yield "full", "simulation", with_main(simulation)


core = [name for name in glob("unit/paxos/**/*.cpp") + glob("unit/types/**/*.cpp") if "/json_" not in name]
what = sys.argv[1]
if what == "unit-core":
    print("\n".join(core))
elif what == "unit-all":
    print("\n".join(name for name in glob("unit/**/*.cpp") if name not in core and name != MAIN))
elif what == "corpus":
    print("\n".join(str(TESTS / name) for name in glob(f"fuzz/corpus/{sys.argv[2]}/*")))
else:
    for suite, name, sources in programs():
        print(suite, name, *sources)
