#!/usr/bin/env python3
"""Runs the command line `openreplica` on a group of real processes, whole and with a member killed.

  check_cli.py TOOL MEMBER    the built openreplica, and the built demo_member, three of which make the group
"""
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

DEADLINE_S = 30
passed = failed = 0


def check(what, holds, evidence=""):
    global passed, failed
    passed, failed = passed + bool(holds), failed + (not holds)
    if not holds:
        print(f"FAILED: {what}\n{evidence}")


def free_addresses(n):
    taken = [socket.socket() for _ in range(n)]
    for s in taken:
        s.bind(("127.0.0.1", 0))
    return ["127.0.0.1:%d" % s.getsockname()[1] for s in taken]


class Tool:
    def __init__(self, program, seeds):
        self.program, self.seeds = program, seeds

    def run(self, *words, seeds=None):
        line = [self.program]
        for seed in self.seeds if seeds is None else seeds:
            line += ["--seed", seed]
        done = subprocess.run([*line, *words], capture_output=True, text=True, timeout=60)
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.said = f"{words}: exit status {self.status}\n{self.out[-1000:]}{self.err}"
        return self

    def json(self, *words):
        self.run("--json", *words)
        check(f"{words[0]} gives 0", self.status == 0, self.said)
        return json.loads(self.out) if self.status == 0 else None


class Group:
    """Three members in a ring: each one's seed is the next."""

    def __init__(self, program, home):
        self.addresses = free_addresses(3)
        self.members = []
        for i, where in enumerate(self.addresses):
            self.members.append(subprocess.Popen(
                [program, "--seed", self.addresses[(i + 1) % 3], "--listen", where, "--calls", "5", "--progress",
                 home / f"progress{i}", "--dns", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def end(self):
        for m in self.members:
            m.kill()
            m.wait()


def eventually(holds):
    end = time.monotonic() + DEADLINE_S
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def look(tool, group):
    status = tool.json("status")
    check("status tells of all three", sorted(s["endpoint"] for s in status) == sorted(group.addresses), tool.said)
    check("one of them leads", [s["role"] for s in status].count("leader") == 1, tool.said)
    one = tool.json("--of", group.addresses[1], "status")
    check("one can be asked alone", len(one) == 1 and one[0]["endpoint"] == group.addresses[1], tool.said)
    members = tool.json("members")
    check("members have ids and roles", len(members["members"]) == 3
          and all(len(m["id"]) == 32 and m["role"] in ("leader", "voter") for m in members["members"]), tool.said)
    check("the object is there", {"name": "tally", "type": "tally"} in tool.json("objects"), tool.said)
    check("its type is known", "tally" in [t["name"] for t in tool.json("types")], tool.said)
    shown = tool.json("show", "tally")
    check("its state is shown", shown["name"] == "tally" and len(shown["state"]["calls"]) == 15, tool.said)
    check("three processes have sessions", len(tool.json("sessions")) >= 3, tool.said)
    pending = tool.json("pending")
    check("nobody waits", pending == {"parked": [], "calls": []}, tool.said)


def call(tool):
    check("a const method is called", tool.run("call", "tally", "total").out == "15\n", tool.said)
    check("a method without a result prints nothing", tool.run("call", "tally", "add", '[ "by hand" ]').out == "", tool.said)
    check("and was executed", tool.status == 0 and tool.run("call", "tally", "total").out == "16\n", tool.said)
    entries = tool.json("log", "--tail", "4")
    slots = [e["slot"] for e in entries]
    check("the log's end has four entries in order", len(slots) == 4 and slots == sorted(slots), tool.said)
    entries = tool.json("log", "-n", "20")
    mine = [e for e in entries if e.get("command") == ["add", "by hand"]]
    check("the call is in the log with all its parts", len(mine) == 1
          and {"slot", "ballot", "session", "sequence", "object"} <= mine[0].keys() and mine[0]["object"] == "tally", tool.said)


def words(tool, group):
    text = tool.run("status").out
    check("text is for people", text.startswith("endpoint") and "{" not in text and group.addresses[0] in text, tool.said)
    check("--help gives 0", tool.run("--help").status == 0 and "usage:" in tool.out, tool.said)
    for line in (["fly"], [], ["show"], ["call", "tally"], ["call", "tally", "add", "1"], ["call", "tally", "add", "[1"],
                 ["status", "now"], ["--of", "here", "status"], ["--timeout", "soon", "status"], ["--nonsense", "status"],
                 ["add"], ["replace", "a"]):
        tool.run(*line)
        check(f"{line} gives 2 and a sentence", tool.status == 2 and tool.err, tool.said)
    check("no seed gives 2", tool.run("status", seeds=[]).status == 2 and "seeds" in tool.err, tool.said)
    for line in (["call", "nobody", "add", "[1]"], ["call", "tally", "fly"], ["call", "tally", "add", "[1]"],
                 ["show", "nobody"], ["log", "--tail", "x"], ["remove", "127.0.0.1:1"]):
        tool.run(*line)
        check(f"{line} gives 1 and a sentence", tool.status == 1 and tool.err.startswith("openreplica: "), tool.said)
    for line in (["--timeout", "0.3", "status"], ["--timeout", "0.3", "call", "tally", "total"]):
        tool.run(*line, seeds=["127.0.0.1:1"])
        check(f"{line} of nobody gives 3", tool.status == 3 and "nobody answers" in tool.err or "no leader" in tool.err, tool.said)
    tool.run("--group", "another", "--timeout", "0.5", "status")
    check("another group is refused", tool.status == 3 and "belongs to group" in tool.err, tool.said)
    check("the right group is taken", tool.run("--group", "demo", "members").status == 0, tool.said)


def with_a_standby(tool, group, program, home):
    [where] = free_addresses(1)
    standby = subprocess.Popen([program, "--seed", group.addresses[0], "--listen", where, "--founders", "0", "--progress",
                                home / "standby"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        check("a standby is told of, and asked, like a member", eventually(lambda: [
            s["role"] for s in tool.json("status") if s["endpoint"] == where] == ["standby"]), tool.said)
    finally:
        standby.kill()
        standby.wait()


def with_a_member_killed(tool, group):
    leader = next(m["endpoint"] for m in tool.json("members")["members"] if m["role"] == "leader")
    group.members[group.addresses.index(leader)].kill()
    check("calls go on", tool.run("call", "tally", "total").out == "16\n", tool.said)
    check("who is gone is told, and the others answer", eventually(lambda: [
        s["role"] for s in tool.json("status") if s["endpoint"] == leader] == ["unreachable"]), tool.said)
    one = [a for a in group.addresses if a != leader][:1]
    check("one address is enough", tool.run("members", seeds=one).status == 0, tool.said)


def main():
    with tempfile.TemporaryDirectory() as name:
        group = Group(sys.argv[2], pathlib.Path(name))
        tool = Tool(sys.argv[1], group.addresses)
        try:
            ready = eventually(lambda: tool.run("--timeout", "2", "call", "tally", "total").out == "15\n")
            check("the group is there, and its members have made their calls", ready, tool.said)
            if ready:
                look(tool, group)
                call(tool)
                words(tool, group)
                with_a_standby(tool, group, sys.argv[2], pathlib.Path(name))
                with_a_member_killed(tool, group)
        finally:
            group.end()
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
