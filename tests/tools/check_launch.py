#!/usr/bin/env python3
"""Runs `openreplica launch`: its choice, its errors, and a group of five processes that repairs itself with it.

  check_launch.py TOOL MEMBER    the built openreplica, and the built demo_member
"""
import contextlib
import json
import os
import pathlib
import signal
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
        print(f"FAILED: {what}\n{str(evidence)[-4000:]}")


def free_addresses(n):
    taken = [socket.socket() for _ in range(n)]
    for s in taken:
        s.bind(("127.0.0.1", 0))
    return ["127.0.0.1:%d" % s.getsockname()[1] for s in taken]


def eventually(holds, within_s=DEADLINE_S):
    end = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class Tool:
    def __init__(self, program):
        self.program = program

    def run(self, *words):
        with open("/dev/null") as extra: # A descriptor that whoever is started must not get.
            done = subprocess.run([self.program, *words], capture_output=True, text=True, timeout=60,
                                  pass_fds=[extra.fileno()])
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.said = f"{words}: exit status {self.status}\n{self.out[-1000:]}{self.err}"
        return self

    def launch(self, hosts, command, *words):
        """What it says it did, or nothing when it did not."""
        self.run("--json", "launch", "--hosts", str(hosts), "--command", command, *words)
        return json.loads(self.out) if self.out else []


# ---- without a group

HOSTS = """
# The racks of one room.
a:7000  rack:1 pdu:1     # comments end a line too
a:7001  rack:1 pdu:2

b:7000  rack:2 pdu:1
c       rack:2 pdu:2
[::1]:7000
"""


def choose(tool, home):
    hosts = home / "hosts"
    hosts.write_text(HOSTS)

    def best(*avoid):
        words = [w for g in avoid for w in ("--avoid", g)]
        rows = tool.launch(hosts, "start {host} on {address} of {groups}", "--dry-run", *words)
        check("a dry run gives 0 and runs nothing", tool.status == 0 and [r["status"] for r in rows] == ["not run"], tool.said)
        return rows[0]["command"] if rows else ""

    check("of equals the first is taken, and every word filled in", best() == "start a on a:7000 of rack:1,pdu:1", tool.said)
    check("what is to be avoided is", best("rack:1", "pdu:1") == "start c on c of rack:2,pdu:2", tool.said)
    check("and as much of it as can be", best("rack:1").startswith("start b "), tool.said)
    rows = tool.launch(hosts, "[ {host} = b ] && [ -t 0 ] || exit 3", "--avoid", "rack:1")
    check("a command that fails is told with its status, and the next host is tried",
          tool.status == 1 and [r["status"] for r in rows] == [3] * 5 and rows[0]["host"] == "b:7000", tool.said)
    check("a sentence says that no host is left", "no host is left: of the 5" in tool.err, tool.said)
    rows = tool.launch(hosts, "test {host} = b", "--avoid", "pdu:1", "--avoid", "rack:2")
    check("the first command that does not fail is the last", tool.status == 0 and rows[0]["host"] == "a:7001"
          and [r["status"] for r in rows] == [1, 1, 1, 1, 0] and rows[-1]["host"] == "b:7000", tool.said)
    hosts.write_text("a:1\nb:2\n[::1]:3\n")
    rows = tool.launch(hosts, "echo {host} {port} {address}", "--dry-run")
    check("ports are filled in", rows and rows[0]["command"] == "echo a 1 a:1", tool.said)
    check("people get a table", tool.run("launch", "--hosts", str(hosts), "--command", "echo {host}", "--dry-run").out
          .startswith("host  process  status   command\na:1 "), tool.said)


def session(tool, home):
    """What is started has nothing of the caller: neither its session nor its descriptors nor what it blocks."""
    hosts, seen = home / "hosts", home / "seen"
    hosts.write_text("a:1\n")
    script = f"exec >/dev/null 2>&1; echo {{host}} >{seen}; ls /proc/self/fd >>{seen}; exec sleep 300"
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    rows = tool.launch(hosts, script)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    check("what runs on is told", tool.status == 0 and [r["status"] for r in rows] == ["runs"], tool.said)
    if not rows:
        return
    process = rows[0]["process"]
    check("it leads a session of its own", os.getsid(process) == process, tool.said)
    blocked = next(line for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("SigBlk"))
    check("no signal is blocked in it", int(blocked.split()[1], 16) == 0, blocked)
    os.killpg(process, signal.SIGTERM)
    gone = eventually(lambda: not pathlib.Path(f"/proc/{process}").exists()
                      or ") Z" in pathlib.Path(f"/proc/{process}/stat").read_text())
    check("it ends when it is asked to", gone)
    # `ls` has one more, of the directory that it reads.
    check("it had no descriptor but its own", seen.read_text().split() == ["a", "0", "1", "2", "3"], seen.read_text())


def errors(tool, home):
    hosts = home / "hosts"

    def refused(what, text, command, *words):
        hosts.write_text(text)
        tool.launch(hosts, command, "--dry-run")
        check(what, tool.status == 2 and all(w in tool.err for w in words), tool.said)

    refused("a host without a port number", "a:1\n\nb:x\n", "{host}", "hosts:3:", "\"b:x\" is neither")
    refused("port 0", "a:0\n", "{host}", "hosts:1:", "port above 0")
    refused("a host that a shell would run", "a;b:1\n", "{host}", "hosts:1:")
    refused("a group that a shell would run", "a:1 rack:$(x)\n", "{host}", "hosts:1:", "means something to a shell")
    refused("a host that is named twice", "a:1\nb:1\na:1 x\n", "{host}", "hosts:3:", "line 1 already")
    refused("a file without hosts", "# none\n", "{host}", "names no host")
    refused("a command that is the same everywhere", "a:1\n", "ssh", "{address}")
    refused("a port that a host lacks", "a:1\nb\n", "ssh {port}", "\"b\" in line 2")
    for line in (["launch"], ["launch", "--hosts", str(hosts)], ["launch", "--command", "{host}"],
                 ["launch", "now", "--hosts", str(hosts), "--command", "{host}"]):
        check(f"{line} gives 2 and a sentence", tool.run(*line).status == 2 and "launch --hosts FILE" in tool.err, tool.said)
    tool.launch(home / "nowhere", "{host}")
    check("a file that is not there", tool.status == 2 and "cannot read the hosts" in tool.err, tool.said)
    hosts.write_text("a:1\n")
    tool.launch(hosts, "{host}", "--seed", "127.0.0.1:1", "--timeout", "0.3")
    check("a group that does not answer gives 3", tool.status == 3 and tool.out == "", tool.said)


# ---- with a group

class Group:
    """Five members that start others by themselves, and the processes that they started."""

    START = """#!/bin/sh
echo $$ >"{home}/$1.pid"
exec "{member}" --listen "$1" --group "$2" --voters 5 --replace-after 1000 --dns "" {seeds} --launch "{home}/launch" \\
    --calls "${{3:-0}}" --progress "{home}/$1.acks" --founders "${{4:-0}}" >"{home}/$1.out" 2>&1
"""
    LAUNCH = """#!/bin/sh
exec "{tool}" launch --hosts "{home}/hosts" --command "'{home}/start' {{address}} {{groups}}" {seeds} "$@" >>"{home}/launches" 2>&1
"""

    def __init__(self, tool, member, home):
        self.tool, self.home = tool, home
        addresses = free_addresses(11)
        self.members, self.spares = addresses[:5], addresses[5:]
        words = {"home": home, "member": member, "tool": tool.program,
                 "seeds": " ".join("--seed " + a for a in self.members)}
        for name, text in (("start", self.START), ("launch", self.LAUNCH)):
            (home / name).write_text(text.format(**words))
            (home / name).chmod(0o755)
        # The spare that comes first shares its rack with a member that stays.
        self.racks = {a: f"rack:{i}" for i, a in enumerate(addresses)} | {self.spares[0]: "rack:0"}
        (home / "hosts").write_text("".join(f"{a} {self.racks[a]}\n" for a in self.spares + self.members[:1] + self.members[4:]))
        self.processes = [subprocess.Popen([home / "start", a, self.racks[a], "1000000" if i == 0 else "0", "5"])
                          for i, a in enumerate(self.members)]

    def ask(self):
        words = [w for a in self.members for w in ("--seed", a)]
        self.tool.run("--json", "--timeout", "3", *words, "members")
        return json.loads(self.tool.out)["members"] if self.tool.status == 0 else []

    def voters(self):
        return {m["endpoint"] for m in self.ask() if m["role"] != "standby" and m["connected"]}

    def order(self, *words):
        self.tool.run("--seed", self.members[0], *words)
        return self.tool.status == 0

    def acknowledged(self):
        return len(self.acknowledgements())

    def acknowledgements(self):
        """Names of the calls of the first member that were acknowledged. The last line may be on its way yet."""
        file = self.home / f"{self.members[0]}.acks"
        return [line[4:] for line in file.read_text().split("\n")[:-1]] if file.exists() else []

    def goes_on(self):
        before = self.acknowledged()
        return eventually(lambda: self.acknowledged() > before + 100)

    def evidence(self):
        logs = "".join(f"{f.name}: {f.read_text()[-600:]}\n" for f in sorted(self.home.glob("*.out")))
        launches = self.home / "launches"
        return f"{self.tool.said}\n{logs}{launches.read_text() if launches.exists() else 'nothing was launched'}"

    def end(self):
        (self.home / "start").unlink()  # Those that are left would have the others replaced.
        for p in self.processes:
            p.kill()
            p.wait()
        check("every process that was launched is ended", eventually(lambda: not self.kill_launched(), 5), self.alive())

    def kill_launched(self):
        """Those that were still there: members, and launches that were under way."""
        alive = self.alive()
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):  # It may have ended since.
                os.kill(pid, signal.SIGKILL)
        return alive

    def alive(self):
        """Processes with this group's folder in their words: the number in a pid file could be somebody else's by now."""
        found = []
        for line in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = line.read_bytes()
            except OSError:
                continue  # It has just ended.
            if f"{self.home}/".encode() in words:
                found.append(int(line.parent.name))
        return found


def kill_one(group, victim):
    group.processes[victim].kill()
    group.processes[victim].wait()
    gone = group.members[victim]
    whole = eventually(lambda: len(v := group.voters()) == 5 and gone not in v)
    check(f"member {victim} was killed, and the group is five again", whole, "" if whole else group.evidence())
    check("calls go on", whole and group.goes_on())
    return whole


def repair(group):
    if not eventually(lambda: group.voters() == set(group.members) and group.acknowledged() > 100):
        check("the five founders are there and one of them makes calls", False, group.evidence())
        return
    home, tool = group.home, group.tool
    rows = tool.launch(home / "hosts", "{address}", "--dry-run", "--seed", group.members[0])
    check("a host that shares nothing with a member is preferred to one that comes first", [r["host"] for r in rows]
          == [group.spares[1]], tool.said)
    (home / "members").write_text("".join(a + "\n" for a in group.members))
    tool.launch(home / "members", "{address}", "--seed", group.members[0])
    check("members' hosts are in use", tool.status == 1 and "every one is in use" in tool.err, tool.said)
    for victim in (1, 2, 3):
        if victim == 2:
            check("the second victim leads", eventually(lambda: group.order("transfer", group.members[victim])), tool.said)
        if not kill_one(group, victim):
            return
    voters, started = group.voters(), {f.name.removesuffix(".pid") for f in home.glob("*.pid")} - set(group.members)
    check("the voters are those that stayed and three that were launched", voters & set(group.members)
          == {group.members[0], group.members[4]} and voters - set(group.members) <= started <= set(group.spares),
          group.evidence())
    check("no two of them share a rack", len({group.racks[a] for a in voters}) == 5, group.evidence())
    group.processes[0].send_signal(signal.SIGTERM)
    group.processes[0].wait(timeout=DEADLINE_S)
    said = (home / f"{group.members[0]}.out").read_text().splitlines()
    held = {line[4:] for line in said if line.startswith("has ")}
    acknowledged = set(group.acknowledgements())
    check("everything acknowledged is held", acknowledged and acknowledged <= held, f"lost: {sorted(acknowledged - held)[:9]}")
    check("nothing was executed twice", "duplicates 0" in said, said[-3:])
    check("no call failed", not any(line.startswith("call ") for line in said), [s for s in said if s.startswith("call ")][:3])
    print(f"{len(acknowledged)} calls acknowledged, {len(started)} members launched")


def main():
    tool = Tool(os.path.abspath(sys.argv[1]))
    with tempfile.TemporaryDirectory() as name:
        home = pathlib.Path(name)
        choose(tool, home)
        session(tool, home)
        errors(tool, home)
    with tempfile.TemporaryDirectory() as name:
        group = Group(tool, os.path.abspath(sys.argv[2]), pathlib.Path(name))
        try:
            repair(group)
        finally:
            group.end()
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
