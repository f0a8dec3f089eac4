"""docs/openapi.yaml and the truth: what the other e2e tests were answered, the error table, nginx's files.

Runs after the others.  tests/stack/stack.py writes down each answer below the build folder."""

import collections
import copy
import glob
import json
import os
import re
import subprocess
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.environ.get("srcdir") or os.path.join(os.path.dirname(__file__), "../.."),
                                "tests/stack"))
from stack import BUILDDIR, SRCDIR
from tap import check, comment, equal, run, skip_all, test

try:
    import yaml
    from jsonschema.validators import Draft202012Validator
except ImportError as e:
    skip_all(f"{sys.executable}: {e}; Debian: python3-yaml, python3-jsonschema")

DOCUMENT = os.path.join(SRCDIR, "docs/openapi.yaml")
# make says which tests it runs; by hand it is all that there are answers of.
WITH_ANSWERS = os.environ.get("e2e_tests", "all").strip() != ""

PROBLEM, JSON, STREAM = "application/problem+json", "application/json", "text/event-stream"
METHODS = ("get", "head", "post", "put", "patch", "delete")
# Headers of HTTP itself, or nginx's own; with a body there has to be a Content-Type.
OF_HTTP = {"server", "date", "connection", "content-type", "content-length", "transfer-encoding", "keep-alive"}

# In the error table, and never in an answer, with the reason.
INSIDE = {
    "stopping": "who waits is told how the job stands; what comes later, nginx gives to another gengate",
    "not_sent": "of calls to others; a job is queued again",
    "no_answer": "of calls to others; what came of it is found out",
    "upstream_error": "of calls to others",
    "upstream_refused": "of calls to others; a job says outputs_lost",
    "lost_race": "the job is looked at again",
    "configuration_error": "an answer says database_unavailable; the command line says what is wrong",
}


# -- The document

def load():
    with open(DOCUMENT, encoding="utf-8") as f:
        return yaml.safe_load(f)


def resolve(node):
    while "$ref" in node:
        ref, node = node["$ref"], doc
        for name in ref.removeprefix("#/").split("/"):
            node = node[name]
    return node


def validator(schema):
    return Draft202012Validator({"allOf": [schema], "components": doc["components"]})


def codes_of(response):
    """Of its problems."""
    for part in response.get("content", {}).get(PROBLEM, {}).get("schema", {}).get("allOf", []):
        code = part.get("properties", {}).get("code", {})
        if code:
            return set(code.get("enum", [code.get("const")]))
    return set()


def is_for_users(path):
    """Not where the document says that nobody has to say who they are."""
    return all(doc["paths"].get(path, {"get": {"security": []}}).get(method, {}).get("security") != [] for method in METHODS)


def is_for_pages(path):
    return is_for_users(path) or doc["paths"].get(path, {}).get("x-for-pages", False)


class Response:
    """What one route may answer with one status."""

    def __init__(self, method, path, status, node):
        self.method, self.path, self.status = method, path, status
        self.where = f"{method} {path} {status}"
        self.node = resolve(node)
        headers = {**self.node.get("headers", {}), **(doc["x-cors"]["headers"] if is_for_pages(path) else {})}
        self.headers = {name.lower(): resolve(header) for name, header in headers.items()}
        self.header_schemas = {name: validator(header["schema"]) for name, header in self.headers.items()}
        self.content = self.node.get("content", {})
        self.schemas = {kind: validator(media["schema"]) for kind, media in self.content.items()}
        self.events = {name: validator(schema) for name, schema in
                       self.content.get(STREAM, {}).get("x-events", {}).items()}

    def codes(self):
        return codes_of(self.node)

    def kinds(self):
        """What has to be seen of it: each code, or each content type; of HEAD that it comes."""
        if self.method == "HEAD" or not self.content:
            return {None}
        return self.codes() or set(self.content)

    def examples(self):
        for kind, media in self.content.items():
            for name, example in media.get("examples", {}).items():
                yield kind, name, example["value"]


def all_responses():
    """By method, path and status.  The method "*" is any that the path does not have."""
    found = {}
    for path, item in doc["paths"].items():
        for method in METHODS:
            for status, node in item.get(method, {}).get("responses", {}).items():
                found[method.upper(), path, int(status)] = Response(method.upper(), path, int(status), node)
        found["*", path, 405] = Response("*", path, 405, item["x-other-methods"])
        if is_for_pages(path):
            found["OPTIONS", path, 204] = Response("OPTIONS", path, 204, doc["x-cors"]["preflight"])
    found["*", None, 404] = Response("*", None, 404, doc["x-other-paths"])
    return found


def path_of(path):
    """The path of the document that a request's path is one of; None: of none.  A segment that is
    longer than any name of ours is none."""
    path = urllib.parse.unquote(urllib.parse.urlsplit(path).path)
    for template in sorted(doc["paths"], key=lambda t: t.count("{")):
        if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]{1,127}", re.escape(template).replace(r"\{key\}", ".+")), path):
            return template
    return None


def is_of_http(answer):
    """nginx refuses some requests before it looks at their paths."""
    too_long = sum(map(len, answer["request"].values())) > 8000
    return answer["status"] == 400 and "%00" in answer["path"] or answer["status"] == 431 and too_long


# -- The answers

def code_of(answer):
    """Of a problem; else the content type; of HEAD nothing."""
    kind = content_type(answer)
    if answer["method"] == "HEAD" or kind is None:
        return None
    return json.loads(answer["body"])["code"] if kind == PROBLEM else kind


def content_type(answer):
    kind = dict(answer["headers"]).get("content-type")
    return kind and kind.partition(";")[0]


def find(answer):
    """The response of the document that this has to be, or a complaint."""
    path = path_of(answer["path"])
    item = doc["paths"].get(path, {})
    method = answer["method"] if answer["method"].lower() in item else "*"
    found = responses.get((answer["method"], path, answer["status"])) or responses.get((method, path, answer["status"]))
    return found, None if found else f"{answer['status']} is not listed for {method} {path}"


def complaints(answer):
    """What is wrong with an answer by the document."""
    response, wrong = find(answer)
    if wrong:
        return [wrong]
    found = wrong_headers(response, answer)
    kind = content_type(answer)
    if answer["method"] == "HEAD" or not response.content:
        return found + ([f"a body: {answer['body']!r}"] if answer["body"] else [])
    if kind not in response.content:
        return found + [f"content type {kind} is not listed"]
    if answer["body"] is None:
        return found
    if kind == STREAM:
        return found + wrong_events(response, answer["body"])
    try:
        body = json.loads(answer["body"]) if kind in (JSON, PROBLEM) else answer["body"]
    except ValueError as e:
        return found + [f"no JSON: {e}"]
    found += [f"{error.json_path}: {error.message}" for error in response.schemas[kind].iter_errors(body)]
    return found + wrong_words(answer, body)


def wrong_headers(response, answer):
    sent = dict(answer["headers"])
    found = [f"header {name} is missing" for name, header in response.headers.items()
             if header.get("required") and name not in sent]
    if len(sent) != len(answer["headers"]):
        found.append(f"a header that comes twice: {answer['headers']}")
    for name, value in sent.items():
        if name in response.headers:
            found += [f"header {name}: {error.message}" for error in response.header_schemas[name].iter_errors(value)]
        elif name not in OF_HTTP:
            found.append(f"header {name} is not listed")
    return found


def wrong_events(response, text):
    """Of a stream, as far as it was read."""
    found = []
    if not re.match(r"retry: \d+\n\n", text):
        found.append("a stream without retry: at its beginning")
    for block in text.split("\n\n")[1:-1]:
        if block.startswith(":"):
            continue
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        schema = response.events.get(fields.get("event"))
        if not schema:
            found.append(f"event of another kind: {block[:80]}")
            continue
        found += [f"event: {error.json_path}: {error.message}" for error in schema.iter_errors(json.loads(fields["data"]))]
        if fields["event"] == "status" and not fields.get("id", "").isdigit():
            found.append("event without a version")
    return found


def wrong_words(answer, body):
    """What a schema cannot say."""
    found = []
    if content_type(answer) == PROBLEM:
        if body.get("status") != answer["status"]:
            found.append(f"status {body.get('status')} in the body of a {answer['status']}")
        if body.get("request_id") != dict(answer["headers"]).get("x-request-id"):
            found.append("another request id in the body than in X-Request-Id")
        if body.get("title") != TITLES.get(answer["status"]):
            found.append(f"title {body.get('title')!r} of a {answer['status']}")
    error = body.get("error") if isinstance(body, dict) else None
    if error:
        row = error_table()[error["code"]]
        if (error["message"], error["retryable"]) != (row["detail"], row["retryable"]):
            found.append(f"a job's error is not that of the table: {error}")
    return found


TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
          409: "Conflict", 413: "Content Too Large", 414: "URI Too Long", 415: "Unsupported Media Type",
          422: "Unprocessable Content", 429: "Too Many Requests", 431: "Request Header Fields Too Large", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
          504: "Gateway Timeout"}


def load_answers():
    """Of this run: by tests that still exist, of the program as it is."""
    scripts = {os.path.basename(path).removesuffix(".py") for path in glob.glob(os.path.join(SRCDIR, "tests/*/test_*.py"))}
    built = os.path.getmtime(os.path.join(BUILDDIR, "gengate"))
    found = []
    for path in sorted(glob.glob(os.path.join(BUILDDIR, "tests/answers/*.jsonl"))):
        script = os.path.basename(path).rpartition("-")[0]
        if script not in scripts or os.path.getmtime(path) < built:
            comment(f"of an earlier run: {path}")
            continue
        with open(path, encoding="utf-8") as f:
            found += [{**json.loads(line), "script": script} for line in f]
    return [answer for answer in found if not is_of_http(answer)]


def seen():
    """Each route, status and code, with how often it was seen."""
    found = collections.Counter()
    for answer in answers:
        response, _ = find(answer)
        if response:
            found[response.method, response.path, response.status, code_of(answer)] += 1
    return found


# -- The error table

def error_table():
    if not _table:
        out = subprocess.run([os.path.join(BUILDDIR, "tests/house/err-table")], capture_output=True, text=True, check=True)
        for line in out.stdout.splitlines():
            code, status, retryable, detail = line.split("\t")
            _table[code] = {"status": int(status), "retryable": retryable == "true", "detail": detail}
    return _table


def nginx_problems(name="gengate.conf"):
    """What nginx answers by itself, from its file."""
    with open(os.path.join(SRCDIR, "nginx", name), encoding="utf-8") as f:
        found = [json.loads(text) for text in re.findall(r"return \d+ '(\{.*\})\\n';", f.read())]
    return {problem["code"]: problem for problem in found}


_table = {}
doc = load()
responses = all_responses()
answers = load_answers() if WITH_ANSWERS else []


def with_answers(function):
    """A test that needs them."""
    return test(function) if WITH_ANSWERS else function


def at_most(lines, n=20):
    return "\n".join(lines[:n]) + (f"\n... and {len(lines) - n} more" if len(lines) > n else "")


# -- Tests

@test
def every_reference_leads_somewhere():
    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                check(isinstance(resolve(node), dict), node["$ref"])
                used.add(node["$ref"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)
    used = {f"#/components/securitySchemes/{name}" for one in doc["security"] for name in one}
    walk(doc)
    there = {f"#/components/{kind}/{name}" for kind, items in doc["components"].items() for name in items}
    equal(there - used, set(), "components that nobody uses")
    for name, schema in doc["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        closed = schema.get("type") == "object"
        check(not closed or schema["additionalProperties"] is False, f"{name} is open")


@test
def every_route_of_the_program_is_described():
    with open(os.path.join(SRCDIR, "fcgi/routes.c"), encoding="utf-8") as f:
        rows = re.findall(r'^\t\{ "(/[^"]*)", "([A-Z]+)"', f.read(), re.M)
    check(len(rows) >= 6, f"routes: {rows}")
    routes = set()
    for path, method in rows:
        path = re.sub(r"/$", "/*", path).replace("**", "*/*").replace("*", "{}")
        routes |= {(path, method)} | ({(path, "HEAD")} if method == "GET" else set())
    described = {(re.sub(r"\{\w+\}", "{}", path), method.upper()) for path, item in doc["paths"].items()
                 for method in METHODS if method in item}
    equal(described, routes, "routes")


@test
def the_codes_are_those_of_the_error_table():
    table, codes = error_table(), doc["x-problem-codes"]
    before = nginx_problems("gengate_server.conf")
    nginx = {**nginx_problems(), **before}
    equal(set(doc["x-before-paths"]), set(before), "codes in x-before-paths and in nginx/gengate_server.conf")
    schemas = doc["components"]["schemas"]
    equal(schemas["Problem"]["properties"]["code"]["enum"], list(codes), "the schema's codes and x-problem-codes")
    jobs = set(schemas["JobError"]["properties"]["code"]["enum"])
    equal(set(codes) - set(table) - set(nginx), set(), "codes that nobody has")
    equal(jobs - set(table), set(), "a job's codes that are not in the table")
    equal(set(table) - set(codes) - jobs - set(INSIDE), set(), "codes of the table that are not described")
    equal(set(INSIDE) & (set(codes) | jobs), set(), "codes that are inside only, and described")
    equal(set(INSIDE) - set(table), set(), "codes that are gone")
    equal(set(nginx) - set(codes), set(), "nginx's codes that are not described")
    for code, row in codes.items():
        if code in table:
            equal(row, table[code], code)
    for code, problem in nginx.items():
        equal((problem["status"], problem["detail"], problem["title"]),
              (codes[code]["status"], codes[code]["detail"], TITLES[problem["status"]]), f"nginx's {code}")


@test
def each_code_is_listed_with_its_status():
    marked = set()
    for response in responses.values():
        for code in response.codes():
            equal(doc["x-problem-codes"][code]["status"], response.status, f"{response.where} {code}")
        of_nginx = set(response.node.get("x-nginx", []))
        equal(of_nginx - response.codes(), set(), f"{response.where}: x-nginx without a code")
        equal({code for code in response.codes() if code in nginx_problems() and code not in error_table()} - of_nginx,
              set(), f"{response.where}: nginx's, and not marked")
        marked |= of_nginx
    equal(marked, set(nginx_problems()), "codes in x-nginx and in nginx/gengate.conf")
    listed = {code for item in doc["paths"].values() for method in METHODS
              for status, node in item.get(method, {}).get("responses", {}).items()
              for code in codes_of(resolve(node))} | {"method_not_allowed"} | set(doc["x-before-paths"])
    equal(set(doc["x-problem-codes"]) - listed, set(), "codes that no route lists")


@test
def examples_are_valid():
    count = 0
    for response in responses.values():
        for kind, name, value in response.examples():
            count += 1
            errors = (wrong_events(response, value) if kind == STREAM else
                      [error.message for error in response.schemas[kind].iter_errors(value)])
            equal(errors, [], f"{response.where}: example {name}")
        for schema in response.content.get(JSON, {}).get("schema", {}).get("oneOf", []):
            check(any(validator(schema).is_valid(value) for kind, _, value in response.examples() if kind == JSON),
                  f"{response.where}: without an example of {schema}")
    check(count >= len(doc["x-problem-codes"]), f"{count} examples only")
    for path, item in doc["paths"].items():
        for method in METHODS:
            body = item.get(method, {}).get("requestBody", {}).get("content", {}).get(JSON, {})
            for name, example in body.get("examples", {}).items():
                equal([e.message for e in validator(body["schema"]).iter_errors(example["value"])], [],
                      f"{method} {path}: example {name}")


def wrong_answers():
    """Five that no gengate gives, each a real one with one thing changed; and what is said of each."""
    job = {"method": "GET", "path": "/status/01a2c7b0-5f1e-7c43-9d0a-3f6f2b8f1c55", "status": 200,
           "headers": [["content-type", JSON], ["x-request-id", "0" * 32], ["x-content-type-options", "nosniff"],
                       ["cache-control", "private, no-cache"], ["etag", '"v4"']]}
    problem = {**job, "status": 404, "headers": [["content-type", PROBLEM], ["x-request-id", "0" * 32],
                                                 ["x-content-type-options", "nosniff"], ["cache-control", "no-store"]]}
    good = next(value for kind, _, value in responses["GET", "/status/{id}", 200].examples() if kind == JSON)
    bad = {**next(value for _, _, value in responses["GET", "/status/{id}", 404].examples()), "request_id": "0" * 32}

    def changed(answer, body, **members):
        body = copy.deepcopy(body)
        body.update(members)
        return {**answer, "body": json.dumps({name: value for name, value in body.items() if value is not ...})}
    equal(complaints(changed(job, good)), [], "complaints about a good answer")
    equal(complaints(changed(problem, bad)), [], "complaints about a good problem")
    yield "a missing member", changed(job, good, created_at=...), "'created_at' is a required property"
    yield "an unknown member", changed(job, good, prediction_id="x"), "'prediction_id' was unexpected"
    yield "a wrong type", changed(job, good, model=5), "5 is not of type 'string'"
    yield "an unlisted status", changed({**job, "status": 201}, good), "201 is not listed"
    yield "an unknown code", changed(problem, bad, code="no_such_code"), "'no_such_code' is not one of"
    # And some more.
    yield "another's code", changed(problem, bad, code="unauthorized"), "'not_found' was expected"
    yield "a missing header", {**changed(job, good), "headers": job["headers"][:1] + job["headers"][2:]}, \
        "header x-request-id is missing"
    yield "an unknown header", {**changed(job, good), "headers": job["headers"] + [["x", "y"]]}, "header x is not listed"
    yield "a wrong header", {**changed(job, good), "headers": job["headers"][:-1] + [["etag", "v4"]]}, "header etag"
    yield "another content type", {**changed(job, good), "headers": [["content-type", "text/html"], *job["headers"][1:]]}, \
        "content type text/html is not listed"


@test
def wrong_answers_are_refused():
    for what, answer, wanted in wrong_answers():
        found = complaints(answer)
        check(any(wanted in text for text in found), f"{what} is not refused: {found}")


# -- With what the other tests were answered

@with_answers
def every_answer_is_as_described():
    check(answers, "there are no answers; run the other tests first")
    wrong = collections.OrderedDict()
    for answer in answers:
        for text in complaints(answer):
            what = f"{answer['script']}: {answer['method']} {answer['path'][:80]} {answer['status']}: {text[:300]}"
            wrong.setdefault((answer["method"], path_of(answer["path"]), answer["status"], text[:60]), what)
    comment(f"{len(answers)} answers")
    check(not wrong, at_most(list(wrong.values())))


@with_answers
def every_described_answer_was_seen():
    found = seen()
    wanted = {(r.method, r.path, r.status, kind) for r in responses.values() for kind in r.kinds()}
    comment(f"{len(wanted)} routes with a status and a code")
    missing = sorted(map(str, wanted - set(found)))
    check(not missing, "no test was answered so:\n" + at_most(missing, 60))


def shape(value, name=None):
    """The names of an answer's members; their types are the schema's matter, and metadata is the
    client's own."""
    if isinstance(value, dict) and name != "metadata":
        return {member: shape(v, member) for member, v in sorted(value.items())}
    if isinstance(value, list):
        return sorted({json.dumps(shape(v)) for v in value})
    return "value"


def event_shapes(text):
    """Of each event and line between them; how many there are is a matter of time."""
    found = set()
    for block in text.split("\n\n")[:-1]:
        for line in block.split("\n"):
            name, _, value = line.partition(": ")
            found.add((name, json.dumps(shape(json.loads(value))) if name == "data" else re.sub(r"\d+", "9", value)))
    return found


def shapes(kind, value):
    """What an example has to have in common with an answer: all of them."""
    if kind == STREAM:
        return event_shapes(value)
    return {(value["code"] if kind == PROBLEM else None, json.dumps(shape(value)))}


@with_answers
def examples_are_real():
    """An example has exactly the members of an answer that was seen where it stands."""
    known = collections.defaultdict(set)
    for answer in answers:
        response, _ = find(answer)
        kind = content_type(answer)
        if response and answer["body"] and kind in (JSON, PROBLEM, STREAM):
            known[id(response.node), kind] |= shapes(
                kind, answer["body"] if kind == STREAM else json.loads(answer["body"]))
    for response in responses.values():
        shown = set()
        for kind, name, value in response.examples():
            shown.add(value["code"] if kind == PROBLEM else kind)
            unknown = shapes(kind, value) - known[id(response.node), kind]
            equal(unknown, set(), f"{response.where}: what example {name} has and no answer")
        if response.method != "HEAD" and response.content:
            told = {kind for kind in response.kinds() if not kind.startswith(("text/plain", "image/", "video/"))}
            equal(told - shown, set(), f"{response.where}: without an example")


def form(value):
    """Of a header's value: digits and ids do not count."""
    value = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}", "ID", value)
    return re.sub(r"\d+", "9", value)


@with_answers
def header_examples_are_real():
    forms = collections.defaultdict(set)
    for answer in answers:
        for name, value in answer["headers"]:
            forms[name].add(form(value))
    named = {name: header for r in responses.values() for name, header in r.headers.items()}
    for name, header in named.items():
        values = [header["example"]] if "example" in header else [header["schema"]["const"]]
        for value in values:
            equal([e.message for e in validator(header["schema"]).iter_errors(value)], [], f"example of {name}")
            check(form(value) in forms[name], f"the example of {name} is like none of {forms[name]}")


@with_answers
def requests_are_as_described():
    """What was accepted is valid; what was refused is not, but for limits that only a model knows."""
    schema = validator(doc["components"]["schemas"]["Request"])
    # Limits of a model, or in bytes; and what JSON Schema has no word for.
    untold = re.compile(r"^/(model|count|aspect_ratio|inputs|metadata|params|prompt|negative_prompt|format)(/|$)")
    accepted = refused = 0
    for answer in answers:
        if (answer["method"], answer["path"]) != ("POST", "/generate") or not answer["request_body"]:
            continue
        if answer["request"].get("content-type", "").startswith("multipart/"):
            continue    # the schema is for JSON
        if answer["status"] in (200, 202):
            accepted += 1
            wrong = [error.message for error in schema.iter_errors(json.loads(answer["request_body"]))]
            equal(wrong, [], f"what is wrong with {answer['request_body'][:200]}, which was accepted")
        elif code_of(answer) == "invalid_request":
            pointers = [error["pointer"] for error in json.loads(answer["body"])["errors"]]
            if schema.is_valid(json.loads(answer["request_body"])):
                check(all(untold.match(pointer) for pointer in pointers),
                      f"{answer['request_body'][:200]} is valid, and was refused for {pointers}")
            else:
                refused += 1
    check(accepted >= 50 and refused >= 15, f"{accepted} accepted, {refused} refused requests only")


if __name__ == "__main__":
    run()
