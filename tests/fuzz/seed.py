#!/usr/bin/env python3
"""Inputs of the target provider from a provider's cases: tests/fuzz/seed.py NAME

What tests/data/NAME/cases.json has of answers and webhooks goes to tests/fuzz/corpus/provider/NAME,
one a file, beside what is there.  The target has credentials of its own (tests/fuzz/providers.h) and
lives at 1700000000: a webhook whose signature is to fit is written by hand.
"""

import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "../data")


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as f:
        return f.read()


def text_of(body):
    return body if isinstance(body, str) else json.dumps(body)


def answer(case, folder):
    """Status, headers and body, as tests/data/README.md has them."""
    if "text" in case:
        return case["status"], {}, case["text"]
    said = json.loads(read(folder, case["file"])) if "file" in case else case
    if "response" not in said:
        return 200, {}, text_of(said)
    response = said["response"]
    return response["status"], response.get("headers", {}), text_of(response.get("body", ""))


def webhook(case, folder):
    return 200, case["headers"], read(folder, case["file"]) if "file" in case else case["body"]


def line(name, call, query):
    """The first: of a handle only where an id is before it, and so on."""
    words = [name, call]
    for member in ("id", "handle", "follow"):
        if member not in query:
            break
        words.append(query[member])
    return " ".join(words)


def written(first, said):
    status, headers, body = said
    return "\n".join([first, str(status), *(f"{name}: {value}" for name, value in headers.items()), "", body])


def seeds(name, folder):
    """Each input by its file's name; a contract's example may not be there."""
    cases = json.loads(read(folder, "cases.json"))
    for kind, of in (("answers", answer), ("webhooks", webhook)):
        for case in cases.get(kind, []):
            if "contract" not in case:
                call = case.get("call", "webhook")
                file = call + "-" + re.sub(r"[^a-z0-9]+", "-", case["name"].lower()).strip("-")
                yield file, written(line(name, call, case.get("query", {})), of(case, folder))


def main():
    if len(sys.argv) != 2 or not os.path.exists(os.path.join(DATA, sys.argv[1], "cases.json")):
        sys.exit(__doc__)
    to = os.path.join(HERE, "corpus/provider", sys.argv[1])
    os.makedirs(to, exist_ok=True)
    for file, text in seeds(sys.argv[1], os.path.join(DATA, sys.argv[1])):
        if not os.path.exists(os.path.join(to, file)):
            with open(os.path.join(to, file), "w", encoding="utf-8") as f:
                f.write(text)


if __name__ == "__main__":
    main()
