#!/usr/bin/env python3
"""Runs openreplica-log on data directories that real nodes have written, whole, torn and damaged.

  check_log_tool.py TOOL EXAMPLE    the built openreplica-log, and the built example 06_restart, which writes them
"""
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

passed = failed = 0


def check(what, holds, evidence=""):
    global passed, failed
    passed, failed = passed + bool(holds), failed + (not holds)
    if not holds:
        print(f"FAILED: {what}\n{evidence}")


def contents(directory):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


def flip_bit(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


class Tool:
    def __init__(self, program):
        self.program = program

    def run(self, *words):
        done = subprocess.run([self.program, *map(str, words)], capture_output=True, text=True, timeout=60)
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.said = f"exit status {self.status}\n{self.out[-1000:]}{self.err}"
        return self

    def lines(self, what=None):
        parsed = [json.loads(line) for line in self.out.splitlines()]
        return [line for line in parsed if what is None or line["what"] == what]


def whole(tool, home):
    before = contents(home / "0")
    tool.run("--json", home / "0")
    check("a whole directory gives 0", tool.status == 0, tool.said)
    check("its node has an id", len(tool.lines("node")[0]["id"]) == 32, tool.said)
    check("its group has three voters", len(tool.lines("group")[0]["configuration"]["voters"]) == 3, tool.said)
    slots = [s["slot"] for s in tool.lines("snapshot")]
    check("its two snapshots are there, the newer one first", len(slots) == 2 and slots[0] > slots[1] > 0, tool.said)
    calls = [line for line in tool.lines() if line.get("record") == "accept" and line.get("kind") == "call"]
    check("its calls are there", len(calls) > 0, tool.said)
    for call in calls:
        check("a call has all its parts", {"slot", "ballot", "session", "sequence", "command"} <= call.keys(), call)
    commands = [call["command"] for call in calls]
    check("the last payment is one of them", ["pay_in", "bob", 9] in commands, commands)
    check("the verdict comes last", tool.lines()[-1]["what"] == "verdict" and tool.lines()[-1]["whole"], tool.said)

    check("text is for people", "\tpay_in" not in tool.run(home / "0").out and "verdict\t" in tool.out, tool.said)
    check("and gives 0 too", tool.status == 0, tool.said)
    tool.run("--verify", "--json", home / "0")
    check("--verify prints no entries", tool.status == 0 and not any("record" in line for line in tool.lines()), tool.said)
    tool.run("--verify", "--state", "--json", home / "0")
    check("--state prints the objects", "accounts" in json.dumps(tool.lines("state")[0]["objects"]), tool.said)
    check("nothing was changed", contents(home / "0") == before)


def torn(tool, home):
    """The file ends inside the last record, which nobody waited for."""
    directory = shutil.copytree(home / "0", home / "torn")
    last = sorted(directory.glob("wal-*"))[-1]
    data = last.read_bytes().rstrip(b"\0")
    last.write_bytes(data[:-3])
    tool.run("--verify", "--json", directory)
    check("a torn write is told, and no damage", tool.status == 0 and len(tool.lines("torn")) == 1, tool.said)


def damaged(tool, home):
    def case(what, spoil):
        directory = shutil.copytree(home / "0", home / "damaged")
        spoil(directory)
        tool.run("--verify", "--json", directory)
        verdict = tool.lines("verdict")
        check(f"{what} gives 1", tool.status == 1 and verdict and not verdict[0]["whole"] and verdict[0]["damage"], tool.said)
        tool.run(directory)
        check(f"{what} gives 1 when everything is printed too", tool.status == 1, tool.said)
        shutil.rmtree(directory)

    case("a bit of the log", lambda d: flip_bit(sorted(d.glob("wal-*"))[0], 200))
    case("a bit of a segment's header", lambda d: flip_bit(sorted(d.glob("wal-*"))[-1], 9))
    case("a bit of a snapshot", lambda d: flip_bit(sorted(d.glob("snapshot-*"))[-1], 300))
    case("a bit of both meta files", lambda d: [flip_bit(f, 40) for f in d.glob("meta.*")])
    case("a bit of one copy of the id", lambda d: flip_bit(d / "id", 20))
    case("an id of garbage", lambda d: (d / "id").write_bytes(b"x" * 1024))
    case("a lost segment", lambda d: sorted(d.glob("wal-*"))[-1].unlink())


def garbage(tool, home):
    empty = home / "empty"
    empty.mkdir()
    other = home / "other"
    other.mkdir()
    (other / "letter.txt").write_text("to whom it may concern")
    for words in ([empty], [other], [home / "nowhere"], [other / "letter.txt"], [], [empty, empty], ["--nonsense", empty]):
        tool.run(*words)
        check(f"{words} gives 2 and a sentence", tool.status == 2 and tool.err, tool.said)
    check("--help gives 0", tool.run("--help").status == 0 and "usage:" in tool.out, tool.said)


def main():
    tool, example = Tool(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as name:
        home = pathlib.Path(name)
        subprocess.run([example, home], check=True, timeout=60)
        for part in (whole, torn, damaged, garbage):
            part(tool, home)
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
