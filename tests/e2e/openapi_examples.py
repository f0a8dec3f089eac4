"""Takes the examples of docs/openapi.yaml anew from what the tests were answered, when answers have
got other members:

	make -C build check; builddir=build python3 tests/e2e/openapi_examples.py

Only the answers' examples are written; look at the difference before you commit it."""

import json

import test_openapi as t
import yaml


class Dumper(yaml.SafeDumper):
    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)


def name_of(kind, answer):
    """By which an example goes: a code, or what it tells.  None: it is not a good one."""
    if kind == t.STREAM:
        return "whole" if answer["body"].count("event: status") == 3 and '"succeeded"' in answer["body"] else None
    body = json.loads(answer["body"])
    if kind == t.PROBLEM:
        return body["code"] if len(body.get("errors", [1] * 4)) == 4 or "/limit" in str(body) else None
    if "jobs" in body:
        return "page" if any(job["assets"] for job in body["jobs"]) else None
    if body.get("status") == "succeeded" and not all(asset["width"] == 512 for asset in body["assets"]):
        return None
    return body.get("status") or body.get("result")


def good_examples(node, kind):
    """The shortest answer by each name."""
    found = {}
    for answer in t.answers:
        response, _ = t.find(answer)
        if not response or response.node is not node or t.content_type(answer) != kind or not answer["body"]:
            continue
        name = name_of(kind, answer)
        if name and len(answer["body"]) < len(found.get(name, answer["body"] + " ")):
            found[name] = answer["body"]
    return {name: body if kind == t.STREAM else json.loads(body) for name, body in sorted(found.items())}


def written(examples, indent):
    lines = ["examples:" if examples else "examples: {}"]
    for name, value in examples.items():
        if isinstance(value, str):
            text = "value: |+\n" + "".join("  " + line + "\n" if line else "\n" for line in value.split("\n")[:-1])
        else:
            text = yaml.dump({"value": value}, Dumper=Dumper, sort_keys=False, width=100, allow_unicode=True)
        lines += [f"  {name}:", *("    " + line if line else "" for line in text.split("\n")[:-1])]
    return [" " * indent + line if line and n else line for n, line in enumerate(lines)]


def member(node, name):
    return next((value for key, value in node.value if key.value == name), None)


def places(root):
    """Each media type of an answer: its content type, its part of the tree, and the parsed response."""
    for path, item in member(root, "paths").value:
        for method, operation in item.value:
            responses = member(operation, "responses") if method.value in t.METHODS else None
            for status, response in responses.value if responses else []:
                found = t.responses.get((method.value.upper(), path.value, int(status.value)))
                if found and member(response, "content"):
                    yield from ((kind.value, media, found.node) for kind, media in member(response, "content").value)
    for name, response in member(member(root, "components"), "responses").value:
        if member(response, "content") and name.value in t.doc["components"]["responses"]:
            node = t.doc["components"]["responses"][name.value]
            yield from ((kind.value, media, node) for kind, media in member(response, "content").value)


def main():
    with open(t.DOCUMENT, encoding="utf-8") as f:
        text = f.read()
    lines = text.split("\n")
    edits = []
    for kind, media, node in places(yaml.compose(text)):
        for key, value in media.value:
            if key.value == "examples":
                first, last = key.start_mark.line, value.end_mark.line
                # A block ends where the next token begins.
                last = first + 1 if value.flow_style else last
                examples = good_examples(node, kind)
                if examples:
                    edits.append((first, last, written(examples, key.start_mark.column), key.start_mark.column))
    for first, last, new, column in sorted(edits, reverse=True):
        while last > first + 1 and not lines[last - 1].strip():
            last -= 1
        blank = new[-1] == ""
        if blank and last < len(lines) and not lines[last].strip():
            last += 1
        lines[first:last] = [" " * column + new[0], *new[1:]]
    with open(t.DOCUMENT, "w", encoding="utf-8") as f:
        f.write("\n".join(lines))
    print(f"{len(edits)} answers have examples as the tests saw them")


main()
