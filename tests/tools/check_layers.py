#!/usr/bin/env python3
"""Checks the house rules that can be read from the text: layers, sizes, macros, forbidden words.

  check_layers.py [ROOT]         checks a checkout (this one by default)
  check_layers.py --self-test    breaks each rule in a temporary tree and demands that it is reported
"""
import bisect
import pathlib
import re
import sys
import tempfile

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 70
MAX_PUBLIC_MACROS = 10

# Small headers that every layer may include; they include only types/ themselves.
BASE = {"error", "version", "fwd", "options", "config"}
# Folder -> folders it may include (besides itself, BASE and the standard library) and foreign libraries.
LAYERS = {
    "types": ({"types"}, set()),
    "paxos": ({"types", "paxos"}, set()),
    "storage": ({"types", "paxos", "storage"}, set()),
    "net": ({"types", "paxos", "net"}, {"asio"}),
    "dns": ({"types", "dns"}, {"asio"}),
    "runtime": ({"types", "paxos", "storage", "net", "dns", "runtime"}, {"asio"}),
    "object": ({"types", "runtime", "object"}, {"asio", "nlohmann"}),
}
# The JSON codec and the headers it is made of are values, but not everybody's.
JSON_CODEC = re.compile(r"types/json_\w+\.hpp")
RECIPES_MAY_INCLUDE = {"replicated.hpp"}

# The core calls nothing: no clock, thread, file, randomness, Asio or JSON. Checked in code, not in comments.
CORE_FORBIDDEN = re.compile(
    r"\b(asio|nlohmann|thread|jthread|mutex|shared_mutex|condition_variable|fstream|ifstream|ofstream|fopen"
    r"|random|random_device|mt19937|mt19937_64|rand|srand|steady_clock|system_clock|high_resolution_clock"
    r"|sleep_for|getenv|cout|cerr|printf)\b|::now\s*\(")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|WIP)\b")
INTERNAL_MACRO = re.compile(r"OPENREPLICA_(DETAIL|IMPL|PP)_")
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*(<[^>\n]+>|\"[^\"\n]+\")", re.M)


def blank_comments_and_literals(text):
    """The text with comments and literals replaced by spaces; every line keeps its number."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|\bu?8?R"([^()\\\s]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
        r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def without_directives(code):
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group()), code, flags=re.M)


def opens_scope(head):
    """Whether a brace after `head` opens a namespace or a type, whose contents are looked into."""
    head = re.sub(r"\b(requires|alignas|noexcept|decltype|explicit)\s*\(.*?\)", " ", head, flags=re.S)
    head = re.sub(r"^\s*template\s*<.*?>\s*(?=\b(?:class|struct|union|requires)\b)", "", head, flags=re.S)
    if re.search(r"\bnamespace\b|\bextern\s*$", head):
        return True
    return bool(re.search(r"\b(class|struct|union|enum)\b", head)) and not re.search(r"\)|=\s*$", head)


def functions(code):
    """Yields (first line, number of lines) of each outermost function body."""
    code = without_directives(code)
    newlines = [m.start() for m in re.finditer("\n", code)]
    line_of = lambda at: bisect.bisect_left(newlines, at) + 1
    depth_in_function, head_start, first = 0, 0, None
    for m in re.finditer(r"[{};]", code):
        at, char = m.start(), m.group()
        if depth_in_function:
            depth_in_function += {"{": 1, "}": -1}.get(char, 0)
            if depth_in_function == 0 and not re.match(r"\s*[,{]", code[at + 1:at + 200]):
                yield first, line_of(at) - first + 1
                first = None
                head_start = at + 1
        elif char == "{":
            head = code[head_start:at]
            if opens_scope(head) and first is None:
                head_start = at + 1
                continue
            if first is None:
                label = re.match(r"\s*(?:(?:public|private|protected)\s*:\s*)*", head)
                first = line_of(head_start + label.end())
            depth_in_function = 1
        else:
            head_start = at + 1


def sources(root):
    for folder in ("include", "tests", "examples"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".hpp", ".cpp", ".h"):
                yield path


def check_sizes(name, text, code, report):
    lines = text.count("\n")
    if lines > MAX_FILE_LINES:
        report(name, 1, f"{lines} lines; a file has at most {MAX_FILE_LINES}: split it by idea")
    for first, count in functions(code):
        if count > MAX_FUNCTION_LINES:
            report(name, first, f"a function of {count} lines; at most {MAX_FUNCTION_LINES}: name its parts")


def check_includes(name, layer, text, report):
    inside = name.removeprefix("include/openreplica/")
    base = "/" not in inside and inside.removesuffix(".hpp") in BASE
    allowed, foreign = LAYERS.get(layer, (None, {"asio", "nlohmann"}))
    if JSON_CODEC.fullmatch(inside):
        foreign = foreign | {"nlohmann"}
    if base:
        allowed, foreign = {"types"}, set()
    for m in INCLUDE.finditer(text):
        line, target = text.count("\n", 0, m.start()) + 1, m.group(1)
        if target[0] == '"':
            report(name, line, f"{target}: headers are included as <openreplica/layer/file.hpp>")
            continue
        target = target.strip("<>")
        library = re.split(r"[/.]", target)[0]
        if library == "openreplica":
            to = target.removeprefix("openreplica/")
            to_layer = to.split("/")[0] if "/" in to else None
            if to_layer is None and to.removesuffix(".hpp") in BASE and layer != "recipes":
                continue
            if layer == "recipes" and to not in RECIPES_MAY_INCLUDE and to_layer != "recipes":
                report(name, line, f"recipes use only the public surface, so not <{target}>")
            elif allowed is not None and (to_layer not in allowed):
                report(name, line, f"{layer or 'this header'} may not include <{target}>")
            elif JSON_CODEC.fullmatch(to) and "nlohmann" not in foreign:
                report(name, line, f"{layer or 'this header'} may not include <{target}>: it brings JSON")
        elif library in ("asio", "nlohmann") and library not in foreign:
            report(name, line, f"{layer or 'this header'} may not include <{target}>")


def check_macros(name, code, public, report):
    undefined = set(re.findall(r"^[ \t]*#[ \t]*undef[ \t]+(\w+)", code, re.M))
    for m in re.finditer(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", code, re.M):
        macro, line = m.group(1), code.count("\n", 0, m.start()) + 1
        if name == "include/openreplica/config.hpp" and macro.startswith("ASIO_HAS_"):
            continue
        if not macro.startswith("OPENREPLICA_"):
            report(name, line, f"macro {macro}: ours begin with OPENREPLICA_")
        elif macro not in undefined and not INTERNAL_MACRO.match(macro):
            public.setdefault(macro, (name, line))


def check_header(name, text, code, public, report):
    parts = pathlib.PurePath(name).parts
    layer = parts[2] if len(parts) > 3 else None
    if layer is not None and layer not in LAYERS and layer != "recipes":
        report(name, 1, f"folder {layer}/ is no layer: the layers are {', '.join(LAYERS)} and recipes")
    if not re.match(r"// .+\n(//.*\n)*#pragma once\n", text):
        report(name, 1, "a header begins with a line that says what it is, then #pragma once")
    check_includes(name, layer, text, report)
    check_macros(name, code, public, report)
    if layer == "paxos":
        for m in CORE_FORBIDDEN.finditer(code):
            report(name, code.count("\n", 0, m.start()) + 1, f"'{m.group().strip()}' in the core, which calls nothing")


def check(root):
    """All violations below `root`, as printable lines."""
    found, public = [], {}
    report = lambda name, line, text: found.append(f"{name}:{line}: {text}")
    for path in sources(root):
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        code = blank_comments_and_literals(text)
        check_sizes(name, text, code, report)
        for m in UNFINISHED.finditer(text):
            report(name, text.count("\n", 0, m.start()) + 1, f"{m.group()}: write it, or open an issue")
        if name.startswith("include/"):
            check_header(name, text, code, public, report)
    if len(public) > MAX_PUBLIC_MACROS:
        name, line = list(public.values())[MAX_PUBLIC_MACROS]
        report(name, line, f"{len(public)} public macros ({', '.join(public)}); at most {MAX_PUBLIC_MACROS}. "
                           "Name the ones nobody writes OPENREPLICA_DETAIL_")
    return found


HEAD = "// A header.\n#pragma once\n"
LONG_BODY = "    f();\n" * 70
# (path, content, words of the report), or None for text that must be accepted.
SELF_TEST = [
    ("paxos/a.hpp", HEAD + "#include <openreplica/net/b.hpp>\n", "paxos may not include <openreplica/net/b.hpp>"),
    ("types/a.hpp", HEAD + "#include <asio/buffer.hpp>\n", "types may not include <asio/buffer.hpp>"),
    ("types/json_codec.hpp", HEAD + "#include <nlohmann/json.hpp>\n#include <openreplica/types/json_b.hpp>\n", None),
    ("types/a.hpp", HEAD + "#include <openreplica/types/json_b.hpp>\n", "it brings JSON"),
    ("object/a.hpp", HEAD + "#include <openreplica/types/json_codec.hpp>\n", None),
    ("paxos/a.hpp", HEAD + "#include <openreplica/types/json_codec.hpp>\n", "it brings JSON"),
    ("net/a.hpp", HEAD + "#include <openreplica/dns/b.hpp>\n", "net may not include"),
    ("net/a.hpp", HEAD + "#include <openreplica/error.hpp>\n#include <asio/buffer.hpp>\n", None),
    ("storage/a.hpp", HEAD + "#include <asio/buffer.hpp>\n", "storage may not include"),
    ("runtime/a.hpp", HEAD + "#include <nlohmann/json.hpp>\n", "runtime may not include"),
    ("runtime/a.hpp", HEAD + "#include <openreplica/object/b.hpp>\n", "runtime may not include"),
    ("error.hpp", HEAD + "#include <openreplica/node.hpp>\n", "this header may not include"),
    ("recipes/a.hpp", HEAD + "#include <openreplica/node.hpp>\n", "only the public surface"),
    ("recipes/a.hpp", HEAD + "#include <openreplica/replicated.hpp>\n", None),
    ("node.hpp", HEAD + "#include <openreplica/object/b.hpp>\n#include <asio/io_context.hpp>\n", None),
    ("types/a.hpp", HEAD + '#include "b.hpp"\n', "included as <openreplica/"),
    ("gossip/a.hpp", HEAD, "is no layer"),
    ("types/a.hpp", "#pragma once\n", "begins with a line"),
    ("types/a.hpp", HEAD + "// x\n" * 600, "602 lines"),
    ("types/a.hpp", HEAD + "namespace n {\nclass c {\npublic:\n  c() : a_{1}, b_(2) {\n" + LONG_BODY + "  }\n};\n}\n",
     ":6: a function of 72 lines"),
    ("types/a.hpp", HEAD + "template <class T>\nstruct s {\n" + "  int f() { return 1; }\n" * 90 + "};\n", None),
    ("types/a.hpp", HEAD + "enum class e {\n" + "".join(f"  v{i},\n" for i in range(90)) + "};\n", None),
    ("types/a.hpp", HEAD + "inline void f(char c = '{') {\n" + LONG_BODY + "}\n", "a function of 72 lines"),
    ("types/a.hpp", HEAD + "inline void f() { g(\"{\"); } // {\n" + "int x;\n" * 90, None),
    ("types/a.hpp", HEAD + "#define MAX 3\n", "macro MAX"),
    ("types/a.hpp", HEAD + "".join(f"#define OPENREPLICA_M{i} 1\n" for i in range(11)), "11 public macros"),
    ("types/a.hpp", HEAD + "".join(f"#define OPENREPLICA_DETAIL_M{i} 1\n" for i in range(11)), None),
    ("config.hpp", HEAD + "#define ASIO_HAS_CO_AWAIT 1\n", None),
    ("paxos/a.hpp", HEAD + "inline std::mutex m;\n", "'mutex' in the core"),
    ("paxos/a.hpp", HEAD + "auto t = clock::now();\n", "in the core"),
    ("paxos/a.hpp", HEAD + "// No mutex, no rand(), no asio: see std::random_device.\n", None),
    ("types/a.hpp", HEAD + "// TO" "DO: later\n", "open an issue"),
]


def self_test():
    failures = 0
    for name, content, expected in SELF_TEST:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "include/openreplica", name)
            path.parent.mkdir(parents=True)
            path.write_text(content)
            found = check(pathlib.Path(folder))
        good = not found if expected is None else any(expected in line for line in found)
        if not good:
            failures += 1
            print(f"{name}: expected {expected!r}, got {found} for\n{content[:300]}")
    print(f"{len(SELF_TEST) - failures} of {len(SELF_TEST)} self-tests passed")
    return 1 if failures else 0


def main():
    arguments = sys.argv[1:]
    if arguments == ["--self-test"]:
        return self_test()
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).parents[2]).resolve()
    found = check(root)
    print("\n".join(found) if found else f"{sum(1 for _ in sources(root))} files keep the rules")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
