"""`auth = supabase`: callers are known by their tokens."""

import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
import fcgi
import tokens
from e2e import check, equal, stacks, test
from token_rig import TokenRig, bad_tokens

SECRET = "super-secret-jwt-token-with-at-least-32-characters-long"
INVALID = 'Bearer realm="gengate", error="invalid_token", error_description="'
NOWHERE = f"/status/{uuid.uuid4()}"
rig = None


class AuthRig(TokenRig):
    def ask(self, token, method="GET", path=NOWHERE, **more):
        """With that token, or none."""
        return self.http(method, path, headers={"Authorization": "Bearer " + token} if token is not None else {}, **more)

    def fetches(self):
        return self.counters()["jwks_reads"]

    def forget(self, pause_s=60):
        """As if all that the processes share about keys were older."""
        self.sql(f"UPDATE generation_shared SET updated_at = updated_at - interval '{pause_s} s'")

    def counted(self, name, **labels):
        text = self.http("GET", "/metrics").text
        want = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines()
                   if line.startswith(name + "{") and all(w in line for w in want))


def setup():
    global rig
    rig = AuthRig().start()
    # It began before the keys were published.
    rig.begin_anew()


def known(token, **more):
    """The caller is somebody: what is not there is a 404."""
    e2e.check_problem(rig.ask(token, **more), 404, "not_found")


def unknown(token, **more):
    answer = rig.ask(token, **more)
    e2e.check_problem(answer, 401, "unauthorized")
    challenge = answer.header("WWW-Authenticate")
    check(challenge.startswith(INVALID) and challenge.endswith('"'), f"challenge: {challenge}")
    return challenge[len(INVALID):-1]


@test
def a_user_is_known_by_the_token():
    user = str(uuid.uuid4())
    job = rig.submit("mine", user=user)
    rig.succeeds(job)
    equal(rig.sql_value(f"SELECT owner_id FROM generation_jobs WHERE id = '{job['id']}'"), user, "owner")
    e2e.check_problem(rig.http("GET", f"/status/{job['id']}", user=str(uuid.uuid4())), 404, "not_found")
    equal([found["id"] for found in rig.http("GET", "/status", user=user).json["jobs"]], [job["id"]], "their jobs")
    # Another token of the same user, of another kind.
    answer = rig.ask(rig.rs.token(rig.claims(user)), path=f"/status/{job['id']}")
    equal((answer.status, answer.json["id"]), (200, job["id"]), "by RS256")


@test
def without_a_token_the_challenge_names_no_error():
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"X-Test-User": str(uuid.uuid4())},
                    {"Authorization": rig.es.token(rig.claims())}):
        answer = rig.http("GET", NOWHERE, headers=headers)
        e2e.check_problem(answer, 401, "unauthorized")
        equal(answer.header("WWW-Authenticate"), 'Bearer realm="gengate"', f"challenge to {headers}")


@test
def the_scheme_may_be_written_in_any_case():
    token = rig.es.token(rig.claims())
    for scheme in ("bearer ", "BEARER ", "Bearer   "):
        e2e.check_problem(rig.http("GET", NOWHERE, headers={"Authorization": scheme + token}), 404, "not_found")


@test
def every_other_token_is_refused():
    for name, token, why in bad_tokens(rig, SECRET):
        told = unknown(token)
        check(why in told, f"{name}: {told}")
    known(rig.es.token(rig.claims()))


@test
def a_token_of_16_kb_is_refused_by_nginx_or_by_us():
    token = rig.es.token(rig.claims(user_metadata={"a": "x" * 12000}))
    check(len(token) > 16000, "the token is too short for this test")
    e2e.check_problem(rig.ask(token), 431, "headers_too_large")     # by nginx
    answer = straight(token)
    check(b"Status: 401" in answer and b"too long" in answer, f"by gengate: {answer!r}")
    # What nginx lets through by itself.
    known(rig.es.token(rig.claims(user_metadata={"a": "x" * 4500})))


def straight(token):
    """Past nginx, by FastCGI."""
    return fcgi.ask(rig.gengate_sockets[0], {
        "REQUEST_METHOD": "GET", "PATH_INFO": NOWHERE, "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_AUTHORIZATION": "Bearer " + token})


@test
def clocks_may_differ_by_a_minute():
    now = int(time.time())
    known(rig.es.token(rig.claims(exp=now - 30)))
    known(rig.es.token(rig.claims(nbf=now + 30)))
    known(rig.es.token(rig.claims(iat=now + 3000)))


@test
def each_route_of_a_user_wants_one():
    anonymous = rig.es.token(rig.claims(is_anonymous=True))
    job = str(uuid.uuid4())
    for method, path in (("POST", "/generate"), ("DELETE", f"/generate/{job}"), ("POST", f"/generate/{job}/cancel"),
                         ("POST", f"/generate/{job}/retry"), ("GET", "/status"), ("HEAD", "/status"),
                         ("GET", f"/status/{job}"), ("HEAD", f"/status/{job}")):
        body = {"json": {"prompt": "x"}} if path == "/generate" else {}
        equal(rig.ask(None, method, path, **body).status, 401, f"{method} {path} without a token")
        answer = rig.ask(anonymous, method, path, **body)
        equal((answer.status, answer.header("WWW-Authenticate")), (403, None), f"{method} {path} by an anonymous user")
        if method != "HEAD":
            problem = e2e.check_problem(answer, 403, "forbidden")
            equal(problem["detail"], "anonymous users are not served here", "detail")
    for path in ("/healthz", "/readyz", "/metrics"):
        equal(rig.http("GET", path).status, 200, path)


@test
def a_stream_ends_with_its_token():
    user = str(uuid.uuid4())
    job = rig.submit("[endless] a stream", user=user)
    # For some seconds more, by what clocks may differ.
    token = rig.es.token(rig.claims(user, exp=int(time.time()) - 52))
    stream = rig.http("GET", f"/status/{job['id']}", stream=True,
                      headers={"Authorization": "Bearer " + token, "Accept": "text/event-stream"})
    equal(stream.status, 200, "status of the stream")
    stacks.wait_for(lambda: rig.ask(token).status == 401, 20, "the token's end")
    rig.http("POST", f"/generate/{job['id']}/cancel", user=user)
    told = stream.read().decode()
    check("event: status" in told and "canceled" not in told, f"told after the end: {told}")
    check(told.endswith(": the token has ended, come back with another\n\n"), f"the stream's end: {told}")
    equal(rig.settled(job)["status"], "canceled", "the job")


@test
def a_remembered_token_is_not_verified_again():
    token = rig.es.token(rig.claims())
    known(token)
    before = rig.counted("gengate_tokens_total", result="verified")
    for _ in range(5):
        known(token)
    equal(rig.counted("gengate_tokens_total", result="verified"), before, "verified")
    check(rig.counted("gengate_tokens_total", result="remembered") >= 5, "not remembered")


@test
def unknown_keys_are_looked_for_once_in_half_a_minute():
    before = rig.fetches()
    bad = [rig.es.token(rig.claims(), kid=f"stranger-{n}") for n in range(24)]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        for told in pool.map(unknown, bad):
            check("kid" in told, told)
    check(rig.fetches() - before <= 1, f"fetched {rig.fetches() - before} times")


@test
def a_new_key_is_taken_at_once_and_an_old_one_refused():
    old = rig.es.token(rig.claims())
    known(old)
    fresh = tokens.Key(rig.run_dir, "key-3")
    rig.publish(fresh, rig.rs)
    rig.forget()
    time.sleep(1.1)     # a process looks once per second
    before = rig.fetches()
    known(fresh.token(rig.claims()))
    equal(rig.fetches(), before + 1, "fetches")
    # It was remembered, and its key is not in use any more.
    check("kid" in unknown(old), "the old key's token")
    rig.begin_anew()
    known(old)


@test
def many_with_a_new_key_wait_for_one_fetch():
    fresh = tokens.Key(rig.run_dir, "key-4")
    rig.publish(rig.es, rig.rs, fresh)
    rig.forget()
    time.sleep(1.1)
    before = rig.fetches()
    rig.faults(delay={"count": 1, "delay_ms": 700, "match": "GET /auth/"})
    new = [fresh.token(rig.claims()) for _ in range(16)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(known, new))
    equal(rig.fetches(), before + 1, "fetches")
    rig.begin_anew()


@test
def hs256_is_taken_with_the_secret_only():
    token = tokens.Secret(SECRET).token(rig.claims())
    check("algorithm" in unknown(token), "without the secret")
    rig.begin_anew(supabase_jwt_secret=SECRET)
    try:
        known(token)
        known(tokens.Secret(SECRET).token(rig.claims(), kid="legacy"))
        known(rig.es.token(rig.claims()))       # both, while one replaces the other
        check("signature" in unknown(tokens.Secret(SECRET + "x").token(rig.claims())), "another secret")
        check("signature" in unknown(tokens.Secret(tokens.jwks(rig.es, rig.rs)).token(rig.claims(), kid=rig.es.kid)),
              "the public keys as a secret")
        now = int(time.time())
        for role in ("anon", "service_role"):
            check("issuer" in unknown(tokens.Secret(SECRET).token(
                {"iss": "supabase", "ref": "ref", "role": role, "iat": now, "exp": now + 10 ** 8})), f"the {role} key")
        # A project without signing keys.
        rig.begin_anew()
        rig.set_sim(jwks='{"keys":[]}')
        known(tokens.Secret(SECRET).token(rig.claims()))
    finally:
        rig.begin_anew(supabase_jwt_secret=None)


@test
def anonymous_users_are_served_when_that_is_wished():
    rig.begin_anew(allow_anonymous="on")
    try:
        known(rig.es.token(rig.claims(is_anonymous=True)))
    finally:
        rig.begin_anew(allow_anonymous=None)


@test
def another_address_and_another_issuer():
    rig.begin_anew(supabase_jwks_url=rig.url + "/auth/v1/.well-known/jwks.json", supabase_jwt_issuer="https://id.example")
    try:
        before = rig.counters()["jwks_reads_with_key"]
        known(rig.es.token(rig.claims(iss="https://id.example")))
        check("issuer" in unknown(rig.es.token(rig.claims())), "the project's issuer")
        equal(rig.counters()["jwks_reads_with_key"], before, "fetches with the project's key")
    finally:
        rig.begin_anew(supabase_jwks_url=None, supabase_jwt_issuer=None)


@test
def a_gateway_that_wants_a_key_gets_it():
    rig.begin_anew()
    rig.set_sim(auth_guarded=1)
    rig.gengate.stop()
    rig.sql("DELETE FROM generation_shared")
    rig.gengate.start()
    rig.wait_ready()
    known(rig.es.token(rig.claims()))
    rig.set_sim(auth_guarded=0)


@test
def without_keys_nobody_is_refused_for_good():
    rig.configure()
    rig.gengate.stop()
    rig.sql("DELETE FROM generation_shared")
    rig.faults(jwks_500=-1)
    try:
        rig.gengate.start()
        rig.wait_ready()
        token = rig.es.token(rig.claims())
        job = str(uuid.uuid4())
        for method, path in (("POST", "/generate"), ("DELETE", f"/generate/{job}"), ("POST", f"/generate/{job}/cancel"),
                             ("POST", f"/generate/{job}/retry"), ("GET", "/status"), ("HEAD", "/status"),
                             ("GET", f"/status/{job}"), ("HEAD", f"/status/{job}")):
            answer = rig.ask(token, method, path, **({"json": {"prompt": "x"}} if path == "/generate" else {}))
            equal((answer.status, answer.header("Retry-After")), (503, "2"), f"{method} {path}")
            if method != "HEAD":
                e2e.check_problem(answer, 503, "auth_unavailable")
        # What no key would help is refused as ever.
        check("expired" in unknown(rig.es.token(rig.claims(exp=1))), "an expired token")
        check(rig.counted("gengate_jwks_fetches_total", result="failed") >= 1, "no failed fetch was counted")
    finally:
        rig.faults(jwks_500=0)
    stacks.wait_for(lambda: rig.ask(token).status == 404, 20, "the keys", interval=0.5)


@test
def what_is_no_set_of_keys_does_not_replace_one():
    rig.begin_anew(supabase_jwks_life="1s")
    try:
        known(rig.es.token(rig.claims()))
        rig.faults(jwks_html=-1)
        rig.forget()
        stacks.wait_for(lambda: rig.taken("jwks_html") > 0, 20, "a fetch")
        known(rig.es.token(rig.claims()))
    finally:
        rig.faults(jwks_html=0)
        rig.begin_anew(supabase_jwks_life=None)


@test
def old_keys_are_used_for_a_bounded_time():
    rig.begin_anew(supabase_jwks_life="1s", supabase_jwks_stale="4s")
    try:
        known(rig.es.token(rig.claims()))
        rig.faults(jwks_500=-1)
        began = time.monotonic()
        token = rig.es.token(rig.claims())
        known(token)
        # One that is remembered needs no keys.
        stacks.wait_for(lambda: rig.ask(rig.es.token(rig.claims())).status == 503, 20, "the end of the keys", interval=0.3)
        check(time.monotonic() - began > 1, "they were not used after their life")
        known(token)
    finally:
        rig.faults(jwks_500=0)
        rig.begin_anew(supabase_jwks_life=None, supabase_jwks_stale=None)


@test
def processes_share_the_keys():
    before = rig.fetches()
    other = rig._gengate_part(1, os.path.join(rig.run_dir, "other.sock")).start()
    try:
        time.sleep(0.3)
        rig.gengate.restart()
        rig.wait_ready()
        known(rig.es.token(rig.claims()))
        stacks.wait_for(lambda: other.events("keys.known"), 10, "the other's keys")
        equal([event["road"] for event in other.events("keys.known")], ["shared"], "where they came from")
        equal(rig.fetches(), before, "fetches")
    finally:
        other.stop()


def reload(text):
    """With these lines as the configuration's file."""
    before = len(rig.gengate.events("config.reloaded"))
    with open(rig.config_file, "w", encoding="utf-8") as f:
        f.write(text)
    rig.gengate.signal(signal.SIGHUP)
    stacks.wait_for(lambda: len(rig.gengate.events("config.reloaded")) > before, 10, "the reload")


@test
def a_reload_takes_other_settings_and_keeps_the_keys():
    anonymous, legacy = rig.es.token(rig.claims(is_anonymous=True)), tokens.Secret(SECRET).token(rig.claims())
    before = rig.fetches()
    equal((rig.ask(anonymous).status, rig.ask(legacy).status), (403, 401), "before")
    try:
        reload(f"allow_anonymous = on\nsupabase_jwt_secret = {SECRET}\n")
        known(anonymous)
        known(legacy)
        known(rig.es.token(rig.claims()))
        reload("supabase_jwt_issuer = https://id.example\n")
        equal((rig.ask(anonymous).status, rig.ask(legacy).status), (401, 401), "what was remembered")
        known(rig.es.token(rig.claims(iss="https://id.example")))
        equal(rig.fetches(), before, "fetches")
    finally:
        reload("# Nothing here\n")
    known(rig.es.token(rig.claims()))


@test
def a_reload_may_begin_with_tokens():
    rig.gengate.stop()
    rig.sql("DELETE FROM generation_shared")
    rig.configure(auth=None)
    with open(rig.config_file, "w", encoding="utf-8") as f:
        f.write("auth = none\n")
    try:
        rig.gengate.start()
        rig.wait_ready()
        equal(rig.ask(None).status, 404, "without a token")
        reload("auth = supabase\n")
        equal(rig.ask(None).status, 401, "without a token")
        known(rig.es.token(rig.claims()))
        reload("auth = none\n")
        equal(rig.ask(None).status, 404, "without a token")
    finally:
        rig.configure(auth="supabase")
        with open(rig.config_file, "w", encoding="utf-8") as f:
            f.write("# Nothing here\n")
        rig.begin_anew()


def cgi(token, **settings):
    """One process for one request."""
    env = {**rig.gengate_environment(**settings), "GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET",
           "PATH_INFO": NOWHERE, "QUERY_STRING": "", "SERVER_PROTOCOL": "HTTP/1.1", "CONTENT_LENGTH": "0",
           "HTTP_AUTHORIZATION": "Bearer " + token}
    done = subprocess.run([rig.gengate_program], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=30, check=True)
    check(token not in done.stderr, "the token is in the log")
    return int(re.search(r"^Status: (\d+)", done.stdout)[1])


@test
def a_cgi_process_uses_the_copy_and_fetches_without_one():
    fresh = tokens.Key(rig.run_dir, "key-5")
    before = rig.fetches()
    equal(cgi(rig.es.token(rig.claims())), 404, "by the copy")
    equal(rig.fetches(), before, "fetches")
    rig.gengate.stop()
    try:
        rig.sql("DELETE FROM generation_shared")
        equal(cgi(rig.es.token(rig.claims())), 404, "without a copy")
        equal(rig.fetches(), before + 1, "fetches")
        # The second token with an unknown kid asks nobody.
        rig.forget()
        equal([cgi(fresh.token(rig.claims())) for _ in range(2)], [401, 401], "by an unknown key")
        equal(rig.fetches(), before + 2, "fetches")
        rig.publish(rig.es, rig.rs, fresh)
        rig.forget()
        equal(cgi(fresh.token(rig.claims())), 404, "by a new key")
        equal(rig.fetches(), before + 3, "fetches")
        rig.sql("DELETE FROM generation_shared")
        rig.faults(jwks_500=-1)
        equal(cgi(rig.es.token(rig.claims())), 503, "without keys")
        equal(cgi(rig.es.token(rig.claims())), 503, "without keys, at once")
    finally:
        rig.faults(jwks_500=0)
        rig.begin_anew()


def tokens_line(**settings):
    """What `gengate check` says of tokens."""
    done = rig.gengate_command("check", "--json", check=False, **settings)
    found = [line for line in json.loads(done.stdout)["checks"] if line["name"] == "tokens"]
    equal(len(found), 1, "lines about tokens")
    check(found[0]["state"] != "wrong" or (found[0]["remedy"] and done.returncode == 1), f"{found} {done.returncode}")
    return found[0]["state"], found[0]["text"]


@test
def check_tells_the_keys():
    equal(tokens_line(), ("ok", f"tokens of {rig.issuer} are verified by: ES256 key-1, RS256 key-2"), "with keys")
    state, text = tokens_line(supabase_jwt_secret=SECRET)
    check(state == "ok" and text.endswith(", HS256 by supabase_jwt_secret"), text)
    rig.set_sim(jwks='{"keys":[]}')
    try:
        state, text = tokens_line()
        check(state == "wrong" and "no key" in text, text)
        state, text = tokens_line(supabase_jwt_secret=SECRET)
        check(state == "ok" and text.endswith(": HS256 by supabase_jwt_secret"), text)
        rig.faults(jwks_500=1)
        state, text = tokens_line()
        check(state == "wrong" and "HTTP 500" in text, text)
        state, text = tokens_line(supabase_jwks_url=rig.url + "/auth/v1/elsewhere")
        check(state == "wrong" and "HTTP 404" in text, text)
    finally:
        rig.publish(rig.es, rig.rs)


@test
def the_configuration_is_checked():
    for want, settings in (
            ("supabase_url: has to be set with auth = supabase", {"supabase_url": None, "storage": "local"}),
            ("supabase_jwt_secret: has to have at least 32", {"supabase_jwt_secret": "short"}),
            ("supabase_jwks_url: has to be an http or https URL", {"supabase_jwks_url": "ftp://example.com/"}),
            ("supabase_jwks_stale: must not be shorter", {"supabase_jwks_stale": "5m"})):
        done = rig.gengate_command("check", check=False, **settings)
        equal(done.returncode, 78, f"exit status with {settings}")
        check(want in done.stderr, done.stderr)
        check("short" not in done.stderr or "shorter" in done.stderr, "the secret is shown")
    # The project itself is not needed where both are told.
    done = rig.gengate_command("check", "--json", check=False, supabase_url=None, storage="local",
                               supabase_jwks_url=rig.url + "/auth/v1/.well-known/jwks.json",
                               supabase_jwt_issuer="https://id.example")
    check(done.returncode != 78, done.stderr)


@test
def no_token_is_logged():
    user = str(uuid.uuid4())
    token = rig.token_of(user)
    known(token)
    unknown(token + "x")
    for name in os.listdir(rig.log_dir):
        text = e2e.read(os.path.join(rig.log_dir, name))
        for piece in token.split("."):
            check(piece not in text, f"a token is in {name}")
    e2e.check_logs(rig)


def teardown():
    if rig:
        rig.stop()


e2e.main(setup, teardown)
