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


def force_new_cluster(tool, home):
    yes = "--yes-i-have-lost-the-majority"
    directory = shutil.copytree(home / "0", home / "survivor")
    before = contents(directory)
    tool.run("--json", directory)
    old_group, old_node = tool.lines("group")[0], tool.lines("node")[0]["id"]
    old_slots = [line["slot"] for line in tool.lines() if line.get("record") == "accept"]

    for words in ([], ["--json"], ["--accept-damage"], [yes[:-1]]):
        tool.run("force-new-cluster", directory, *words)
        check("without confirmation it is refused", tool.status == 2 and not tool.out, tool.said)
        check("and says what would be kept", f"all up to slot {max(old_slots)}" in tool.err, tool.said)
    check("and nothing was changed", contents(directory) == before)
    for words in (["force-new-cluster", yes], ["force-new-cluster", directory, directory, yes], [directory, yes],
                  ["force-new-cluster", directory, yes, "--verify"], ["force-new-cluster", directory, yes, "--address"],
                  ["force-new-cluster", directory, yes, "--address", "nowhere"]):
        tool.run(*words)
        check(f"{words} gives 2 and a sentence", tool.status == 2 and tool.err, tool.said)
    for wrong in (home / "empty", home / "other", home / "nowhere"):
        tool.run("force-new-cluster", wrong, yes)
        check(f"{wrong.name} is refused with a sentence", tool.status == 2 and tool.err, tool.said)
    check("and nothing was changed there either", contents(directory) == before and not (home / "nowhere").exists())

    damaged = shutil.copytree(directory, home / "damaged")
    for meta in damaged.glob("meta.*"):
        flip_bit(meta, 40)
    tool.run("force-new-cluster", damaged, yes)
    check("damage is refused", tool.status == 2 and "accept the damage" in tool.err, tool.said)
    tool.run("force-new-cluster", "--json", "--accept-damage", damaged, yes)
    check("unless it is accepted", tool.status == 0 and "T12" in tool.lines("kept")[0]["damage"], tool.said)

    tool.run("force-new-cluster", directory, "--json", yes)
    check("confirmed it is done", tool.status == 0, tool.said)
    old, new, kept = tool.lines("old")[0], tool.lines("new")[0], tool.lines("kept")[0]
    check("it names the old cluster", (old["cluster"], old["node"]) == (old_group["cluster"], old_node), tool.said)
    check("everything was kept", kept["to_slot"] == max(old_slots) and not kept["damage"], tool.said)
    endpoint = [v["endpoint"] for v in old_group["configuration"]["voters"] if v["id"] == old_node][0]
    check("the node stays where it was", new["endpoint"] == endpoint, tool.said)
    after = contents(directory)
    check("every old file is there under another name",
          all(after[name + old["files"][1:]] == digest for name, digest in before.items()
              if name == "id" or name[:4] in ("wal-", "snap", "meta")), after)
    tool.run("--json", directory)
    check("the new directory is whole", tool.status == 0, tool.said)
    group, last = tool.lines("group")[0], [line for line in tool.lines() if line.get("record") == "accept"][-1]
    alone = [{"id": new["node"], "endpoint": endpoint}]
    check("its group has one voter", group["cluster"] == new["cluster"] and group["configuration"]["voters"] == alone, tool.said)
    check("its last entry is a configuration", last["slot"] == kept["to_slot"] + 1 and last["configuration"] ==
          {"epoch": old_group["configuration"]["epoch"] + 1, "voters": alone}, tool.said)
    tool.run("force-new-cluster", directory, yes)
    check("who is alone needs no last resort", tool.status == 2 and "has lost nobody" in tool.err, tool.said)

    moved = shutil.copytree(home / "1", home / "moved")
    tool.run("force-new-cluster", "--json", moved, "--address", "192.0.2.9:7000", yes)
    check("an address can be given", tool.status == 0 and tool.lines("new")[0]["endpoint"] == "192.0.2.9:7000", tool.said)
    check("text is for people", tool.run(moved).status == 0 and "configuration" in tool.out, tool.said)
    (moved / "new-cluster").write_bytes(b"x" * 512)
    tool.run("--verify", "--json", moved)
    check("an interrupted run is told", tool.status == 1 and "run it again" in tool.lines("verdict")[0]["damage"], tool.said)
    tool.run("force-new-cluster", moved, yes)
    check("one whose file is damaged needs a person", tool.status == 2 and "is damaged" in tool.err, tool.said)


def main():
    tool, example = Tool(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as name:
        home = pathlib.Path(name)
        subprocess.run([example, home], check=True, timeout=60)
        for part in (whole, torn, damaged, garbage, force_new_cluster):
            part(tool, home)
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
