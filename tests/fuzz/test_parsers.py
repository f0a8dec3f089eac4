"""The list of parsers, tests/fuzz/parsers.txt, held against the code.  TAP."""

import dataclasses
import glob
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import seed

SRCDIR = os.path.abspath(os.environ.get("srcdir") or os.path.join(os.path.dirname(__file__), "../.."))
FUZZ = "tests/fuzz"
FOLDERS = ("base", "providers", "storage", "core", "fcgi")
# How functions are called that read what somebody else has written.
READS = re.compile(r"(?:^|_)(?:parse|parsed|read|decode|decoded|verify|verified|probe|open|opened|load|feed|resolve|"
                   r"identify|naming|ok|known|wanted|document|unseal|json_read|query|check|is_form|is_data|is_own|is_path|is_signed_for|is_public|"
                   r"auth_token|retry_after_ms)(?:_|$)")
# Members that get an answer, a webhook, or the HTTP client to ask with.
GIVEN = re.compile(r"\(\*(\w+)\)\s*\(([^;]*?\bstruct (?:answer|http_response|webhook|http_client) [^;]*?)\);")
NAMED = re.compile(r"\b(?:(?:exchange_(?:header|param|query|has_query)|http_response_header)\(\s*\w+(?:->\w+)?|"
                   r"->header\(\s*\w+->ctx),\s*\"([\w-]+)\"")
JSON = re.compile(r"\b(?:json_read|json_read_file|json_load\w*|reply_document)\(")


def read(path):
    with open(os.path.join(SRCDIR, path), encoding="utf-8") as f:
        return f.read()


def without_comments(text):
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.MULTILINE)


def functions(text):
    """Those that a header declares."""
    text = re.sub(r"\{[^{}]*\}", "", without_comments(text))
    for match in re.finditer(r"\b([a-z]\w*)\(", text):
        if READS.search(match[1]) and not match[1].startswith("__"):
            yield match[1]


def members(text):
    """Of structs, each with the name of the struct around it where that is not the whole."""
    text = without_comments(text)
    for match in GIVEN.finditer(text):
        behind = re.search(r"\}\s*(\w*)\s*;", text[match.end():])
        around = behind[1] if behind else ""
        head = re.findall(r"^struct (\w+) \{", text[:match.start()], re.MULTILINE)
        if not around and match[1] == "read" and head:
            around = head[-1]
        yield f"{around}.{match[1]}" if around else match[1]


def names(text):
    return NAMED.findall(text)


def sources(ending):
    for folder in FOLDERS:
        for path in sorted(glob.glob(os.path.join(SRCDIR, folder, "*" + ending))):
            yield os.path.relpath(path, SRCDIR)


def providers():
    listed = re.search(r"^provider_files = ((?:.*\\\n)*.*)", read("providers/local.am"), re.MULTILINE)[1]
    return re.findall(r"%D%/(\w+)\.c", listed)


def in_code():
    """What has to be on the list."""
    registered = {f"providers/{name}.c" for name in providers()}
    for path in sources(".h"):
        for name in (*functions(read(path)), *members(read(path))):
            yield f"{path} {name}"
    for path in set(sources(".c")) - registered:
        for name in names(read(path)):
            yield f"{path} header {name}"
        if path != "base/json.c" and JSON.search(read(path)):
            yield f"{path} json"


@dataclasses.dataclass
class Entry:
    what: str
    via: str
    target: str


def entries():
    for line in read(f"{FUZZ}/parsers.txt").splitlines():
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"(\S+ (?:header \S+|\S+)) (?:via (\w+) )?(\w+|- .+)", line)
        if not match:
            raise SystemExit(f"parsers.txt: cannot be read: {line}")
        yield Entry(match[1], match[2] or "", "-" if match[3].startswith("-") else match[3])


def targets():
    return {os.path.basename(path)[5:-2] for path in glob.glob(os.path.join(SRCDIR, FUZZ, "fuzz_*.c"))}


def is_called(entry):
    """Does the target's own text have the name?"""
    last = entry.what.split()[-1]
    name = entry.via or re.sub(r"^.*\.", "", last)
    if not entry.via and (last == "json" or " header " in entry.what):
        return True     # what reads it is another line's
    return re.search(rf"\b{name}\b", read(f"{FUZZ}/fuzz_{entry.target}.c")) is not None


def every_parser_is_listed():
    return set(in_code()) - {e.what for e in entries()}


def nothing_else_is_listed():
    return {e.what for e in entries()} - set(in_code())


def every_target_is_there():
    return {e.target for e in entries()} - targets() - {"-"}


def targets_call_what_they_are_for():
    return {f"{e.what} {e.target}" for e in entries() if e.target in targets() and not is_called(e)}


def every_target_is_built():
    return targets() ^ set(re.findall(r"%D%/fuzz_(\w+)", read(f"{FUZZ}/local.am")))


def inputs(folder):
    return [f for _, _, files in os.walk(os.path.join(SRCDIR, FUZZ, "corpus", folder)) for f in files]


def every_target_has_a_corpus():
    return {name for name in targets() if not inputs(name)} | \
        set(os.listdir(os.path.join(SRCDIR, FUZZ, "corpus"))) - targets()


def every_provider_has_answers():
    return {f"{FUZZ}/corpus/provider/{name} has none: {FUZZ}/seed.py {name} makes them of its cases"
            for name in providers() if not inputs(f"provider/{name}")}


def cases_become_inputs():
    made = dict(seed.seeds("easel", os.path.join(SRCDIR, "tests/example")))
    wrong = set() if made["submit-throttled"] == "easel submit\n429\nretry-after: 7\n\n{}" else {made["submit-throttled"]}
    return wrong | {name for name in providers() if not dict(seed.seeds(name, os.path.join(seed.DATA, name)))}


def what_is_seeded_is_found():
    header = "/* json_parse() */\nenum err_code\nnew_parse(const char *s);\nstruct s {\n\tint (*read)(" \
        "const struct answer *answer);\n};\nstruct t {\n\tstruct {\n\t\tint (*read)(const void *s,\n\t\t\t" \
        "const struct http_response *rs);\n\t} new_call;\n};\n"
    found = {*functions(header), *members(header), *names('exchange_header(x, "x-new");'),
             *names('wh->header(wh->ctx, "x-hook")')}
    return {"new_parse", "s.read", "new_call.read", "x-new", "x-hook"} ^ found


CASES = (every_parser_is_listed, nothing_else_is_listed, every_target_is_there, targets_call_what_they_are_for,
         every_target_is_built, every_target_has_a_corpus, every_provider_has_answers, cases_become_inputs,
         what_is_seeded_is_found)


def main():
    print(f"1..{len(CASES)}")
    for number, case in enumerate(CASES, 1):
        wrong = sorted(case())
        for what in wrong:
            print(f"# {what}")
        print(f"{'not ok' if wrong else 'ok'} {number} - {case.__name__}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
