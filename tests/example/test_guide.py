"""docs/providers.md, held against what it speaks of.  TAP."""

import os
import re
import sys

SRCDIR = os.path.abspath(os.environ.get("srcdir") or os.path.join(os.path.dirname(__file__), "../.."))
GUIDE = "docs/providers.md"


def read(path):
    with open(os.path.join(SRCDIR, path), encoding="utf-8") as f:
        return f.read()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", read(GUIDE), re.MULTILINE | re.DOTALL)


def the_example_is_the_file():
    """The one that is compiled and tested."""
    return [] if read("tests/example/easel.c") in blocks("c") else ["the guide's example is not tests/example/easel.c"]


def every_capability_is_explained():
    return [name for name in re.findall(r"^#define (PROVIDER_\w+) \d+u", read("providers/provider.h"), re.MULTILINE)
            if f"`{name}`" not in read(GUIDE)]


def every_function_of_the_interface_is_explained():
    struct = re.search(r"^struct provider \{\n(.*?)^\};", read("providers/provider.h"), re.MULTILINE | re.DOTALL)[1]
    struct = re.sub(r"/\*.*?\*/", "", struct, flags=re.DOTALL)
    names = set(re.findall(r"\(\*(\w+)\)", struct)) - {"request", "read"} | set(re.findall(r"\b(?:\}|provider_look) (\w+);", struct))
    return sorted(name for name in names if not re.search(rf"`(?:\w+\.)?{name}`", read(GUIDE)))


def every_path_is_there():
    named = re.findall(r"`((?:providers|tests|core|docs|base)/[\w./]+)`", read(GUIDE))
    paths = [path for path in named if "NAME" not in path]
    return [path for path in paths if not os.path.exists(os.path.join(SRCDIR, path))] if paths else ["it names no file"]


CASES = (the_example_is_the_file, every_capability_is_explained, every_function_of_the_interface_is_explained,
         every_path_is_there)


def main():
    print(f"1..{len(CASES)}")
    for number, case in enumerate(CASES, 1):
        wrong = case()
        for what in wrong:
            print(f"# {what}")
        print(f"{'not ok' if wrong else 'ok'} {number} - {case.__name__}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
