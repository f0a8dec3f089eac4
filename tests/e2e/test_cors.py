"""Pages of other origins: those of `cors_origins` may call the users' routes from a browser;
nobody else, nothing else, and never by what a browser adds by itself."""

import os
import sys
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, test

APP, LOCAL = "https://app.example.com", "http://localhost:5173"
# No bytes of these are in the list's items as a whole.
STRANGERS = ("https://evil.example", "https://app.example.com.evil.example", "https://app.example.co", "http://app.example.com",
             "https://app.example.com:8443", "http://localhost", "null", "*", "", f"{APP}, {LOCAL}", APP.upper())
ID = str(uuid.UUID(int=0))
USERS_ROUTES = {
    "/generate": "POST",
    f"/generate/{ID}": "DELETE",
    f"/generate/{ID}/cancel": "POST",
    f"/generate/{ID}/retry": "POST",
    "/status": "GET, HEAD",
    f"/status/{ID}": "GET, HEAD",
}
REQUEST_HEADERS = {"authorization", "content-type", "idempotency-key", "prefer", "last-event-id", "if-none-match", "traceparent"}
ANSWER_HEADERS = {"location", "retry-after", "etag", "idempotency-replayed", "x-request-id", "preference-applied"}
rig = None


def setup():
    global rig
    rig = e2e.Rig(config={"cors_origins": f"{APP} ,{LOCAL}"},
                  http_extra=f'map $http_origin $gengate_origin {{ "{APP}" $http_origin; }}')
    # As nginx/gengate.conf says.
    with open(os.path.join(rig.nginx_dir, "gengate_cors.conf"), "w", encoding="utf-8") as f:
        f.write("add_header Vary Origin always;\nadd_header Access-Control-Allow-Origin $gengate_origin always;\n"
                'add_header Access-Control-Expose-Headers "Retry-After, X-Request-Id" always;\n')
    rig.start()


def ask(method, path, origin=APP, user="somebody", headers=None, **more):
    return rig.http(method, path, user=user, headers={"Origin": origin, **(headers or {})}, **more)


def preflight(path, method, origin=APP):
    """As a browser does: by nobody."""
    return ask("OPTIONS", path, origin, user=None, headers={
        "Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization,content-type"})


def words(text):
    return {word.strip().lower() for word in (text or "").split(",")}


def of_cors(answer):
    return {name.lower() for name, _ in answer.headers.items() if name.lower().startswith("access-control-")}


def check_open(answer, origin=APP):
    equal(answer.header("Access-Control-Allow-Origin"), origin, f"Access-Control-Allow-Origin of {answer}")
    equal(answer.header("Vary"), "Origin", "Vary")
    equal(words(answer.header("Access-Control-Expose-Headers")), ANSWER_HEADERS, "Access-Control-Expose-Headers")
    equal(answer.header("Access-Control-Allow-Credentials"), None, "Access-Control-Allow-Credentials")
    return answer


def check_closed(answer):
    equal(of_cors(answer), set(), f"of {answer}")
    return answer


@test
def preflights():
    for path, methods in USERS_ROUTES.items():
        for origin in (APP, LOCAL):
            answer = check_open(preflight(path, methods.split(",")[0], origin), origin)
            equal((answer.status, answer.body), (204, b""), f"of {path}")
            equal(answer.header("Access-Control-Allow-Methods"), methods, "Access-Control-Allow-Methods")
            equal(words(answer.header("Access-Control-Allow-Headers")), REQUEST_HEADERS, "Access-Control-Allow-Headers")
            check(int(answer.header("Access-Control-Max-Age")) >= 600, "Access-Control-Max-Age")


@test
def preflights_of_strangers():
    for path in USERS_ROUTES:
        for origin in STRANGERS:
            answer = check_closed(preflight(path, "POST", origin))
            e2e.check_problem(answer, 405, "method_not_allowed")
    # An OPTIONS that no browser sends before a request is what it always was.
    e2e.check_problem(ask("OPTIONS", "/status", user=None), 405, "method_not_allowed")


@test
def a_job_from_another_origin():
    body = {"prompt": "a lighthouse"}
    job = check_open(ask("POST", "/generate", json=body, user="page", headers={"Prefer": "wait=30"})).json
    equal(job["status"], "succeeded", "status")
    answer = check_open(ask("GET", f"/status/{job['id']}", user="page"))
    equal(answer.json["id"], job["id"], "id")
    equal(check_open(ask("GET", f"/status/{job['id']}", user="page",
                         headers={"If-None-Match": answer.header("ETag")})).status, 304, "status")
    equal(check_open(ask("GET", "/status", LOCAL, user="page"), LOCAL).status, 200, "the list's status")
    equal(check_open(ask("DELETE", f"/generate/{job['id']}", user="page")).status, 204, "status")


@test
def a_stream_from_another_origin():
    job = rig.submit(user="streams")
    for origin, wanted in ((APP, APP), ("https://evil.example", None)):
        answer = ask("GET", f"/status/{job['id']}", origin, user="streams",
                     headers={"Accept": "text/event-stream"}, stream=True)
        try:
            equal(answer.getheader("Content-Type"), "text/event-stream", "content type")
            equal(answer.getheader("Access-Control-Allow-Origin"), wanted, "Access-Control-Allow-Origin")
            check(b"event: status" in answer.read(), "no event")
        finally:
            answer.close()


@test
def errors_can_be_read():
    e2e.check_problem(check_open(ask("GET", "/status", user=None)), 401, "unauthorized")
    e2e.check_problem(check_open(ask("GET", f"/status/{ID}")), 404, "not_found")
    e2e.check_problem(check_open(ask("PUT", "/generate")), 405, "method_not_allowed")
    e2e.check_problem(check_open(ask("POST", "/generate", json={})), 400, "invalid_request")
    e2e.check_problem(check_open(ask("POST", "/generate", body=b"x")), 415, "unsupported_media_type")


@test
def nginxs_own_errors_can_be_read():
    answer = ask("POST", "/generate", body=b" " * (2 << 20), headers={"Content-Type": "application/json"})
    e2e.check_problem(answer, 413, "body_too_large")
    equal(answer.header("Access-Control-Allow-Origin"), APP, "Access-Control-Allow-Origin")
    answer = ask("POST", "/generate", "https://evil.example", body=b" " * (2 << 20), headers={"Content-Type": "application/json"})
    e2e.check_problem(answer, 413, "body_too_large")
    equal(answer.header("Access-Control-Allow-Origin"), None, "Access-Control-Allow-Origin")


@test
def strangers_are_answered_as_ever():
    for origin in STRANGERS:
        answer = check_closed(ask("GET", "/status", origin))
        equal(answer.status, 200, "status")
        equal(answer.header("Vary"), "Origin", "Vary: a cache must not show it to others")
    answer = check_closed(rig.http("GET", "/status", user="somebody"))
    equal((answer.status, answer.header("Vary")), (200, "Origin"), "without an origin")


@test
def files_by_signed_links():
    """nginx serves them, and says what gengate says of origins."""
    with e2e.Rig(storage="local", config={"outputs": "private", "cors_origins": APP}) as local:
        job = local.submit("to be fetched")
        url = local.succeeds(job)["assets"][0]["url"]
        check("/signed/outputs/" in url, url)

        def fetch(address, origin, method="GET", **headers):
            return local.http(method, address, headers={"Origin": origin, **headers})

        answer = fetch(url, APP)
        equal((answer.status, answer.header("Content-Type")), (200, "image/png"), "the file")
        equal((answer.header("Access-Control-Allow-Origin"), answer.header("Vary")), (APP, "Origin"), "to the page")
        answer = fetch(url, "https://evil.example")
        equal((answer.status, answer.header("Access-Control-Allow-Origin"), answer.header("Vary")), (200, None, "Origin"),
              "to a stranger")
        e2e.check_problem(check_open(fetch(url + "0", APP)), 403, "forbidden")
        answer = fetch(url, APP, "OPTIONS", **{"Access-Control-Request-Method": "GET"})
        equal((check_open(answer).status, answer.header("Access-Control-Allow-Methods")), (204, "GET, HEAD"), "preflight")
        local.configure(cors_origins=None)
        local.gengate.restart()
        local.wait_ready()
        answer = check_closed(fetch(url, APP))
        equal((answer.status, answer.header("Vary")), (200, None), "without the setting")


@test
def what_is_not_the_users_is_nobody_elses():
    for method, path in (("POST", "/webhooks/replicate"), ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"),
                         ("GET", "/generate/no/such/path")):
        equal(check_closed(ask(method, path)).header("Vary"), None, f"Vary of {path}")
        answer = check_closed(preflight(path, method))
        check(answer.status in (404, 405), f"preflight of {path}: {answer}")


def run_config(origins):
    return rig.gengate_command("config", check=False, cors_origins=origins)


@test
def origins_that_no_browser_sends():
    for origins in ("https://app.example.com/", "https://app.example.com/app", "app.example.com", "https://APP.example.com",
                    "HTTPS://app.example.com", "https://app.example.com:443", "http://app.example.com:80", "null",
                    "https://user@app.example.com", "https://app.example.com?x", "https://app.example.com#x",
                    "ftp://app.example.com", "https://*.example.com", "https://app.example.com,", ",https://app.example.com",
                    "https://app.example.com,,http://localhost", "*,https://app.example.com", "https://app.example.com https://b.example",
                    "https://app.example.com:0", "https://b\u00fccher.example", "https://"):
        done = run_config(origins)
        check(done.returncode == 78 and "cors_origins" in done.stderr, f"{origins!r}: {done}")
    for origins in ("*", " * ", APP, f"{APP},{LOCAL}", "http://127.0.0.1:8080, http://[::1]:3000", "https://xn--bcher-kva.example"):
        done = run_config(origins)
        equal(done.returncode, 0, f"exit status with {origins!r}: {done.stderr}")


@test
def every_origin():
    rig.configure(cors_origins="*")
    rig.gengate.restart()
    rig.wait_ready()
    for origin in (APP, "https://anybody.example", "null"):
        answer = ask("GET", "/status", origin)
        equal((answer.status, answer.header("Access-Control-Allow-Origin")), (200, "*"), "status and origin")
        equal(answer.header("Access-Control-Allow-Credentials"), None, "Access-Control-Allow-Credentials")
        equal(preflight("/generate", "POST", origin).status, 204, "status of the preflight")
    check_closed(ask("GET", "/readyz"))


@test
def nobody_unless_it_is_said():
    rig.configure(cors_origins=None)
    rig.gengate.restart()
    rig.wait_ready()
    answer = check_closed(ask("GET", "/status"))
    equal((answer.status, answer.header("Vary")), (200, None), "status and Vary")
    e2e.check_problem(check_closed(preflight("/generate", "POST")), 405, "method_not_allowed")


@test
def logs_are_clean():
    e2e.check_logs(rig, "client intended to send too large body")


e2e.main(setup, lambda: rig and rig.stop())
