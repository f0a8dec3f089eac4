"""What hostile clients, providers and storages send: the rows of hostile_rows.py, and that each code of
a problem or of a job's end is seen.

Rows are asked with `auth = server`, and those that are about who asks with `auth = supabase` too."""

import json
import json
import os
import re
import resource
import sys
import time
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
import hostile
import hostile_outcomes
from e2e import check, equal, skip_all, stacks, test
from scripted import Scripted, reply
from tap import comment
from token_rig import TokenRig, bad_tokens

try:
    import hostile_rows
except ImportError as e:
    skip_all(f"{sys.executable}: {e}; Debian: python3-yaml")

# Nothing is to move by itself: no webhook comes, and the next look is an hour away.
QUIET = {"poll_interval": "1h", "lease": "10m"}
SERIOUS = ("Sanitizer", "runtime error:", "Assertion", "stack smashing", "corrupted", "double free", "invalid pointer",
           "Segmentation")
# Of rows that nginx refuses: it says so in its log.
PROVOKED = (r"client sent invalid chunked body", r"client intended to send too large", r"limiting requests",
            r"upstream timed out", r"g0\.sock failed")

server = supabase = outcomes = None
seen = set()


class ServerRig(e2e.Rig):
    """`auth = server`, by a header that nginx believes."""

    def identity(self, user):
        return [("X-Test-User", user)]

    def bad_identities(self):
        yield "nobody", []
        for name, value in (("X-Test-User", ""), ("Remote-User", "bob"), ("REMOTE_USER", "bob"),
                            ("X-Remote-User", "bob"), ("X_Test_User", "bob"), ("Authorization", "Basic Ym9iOmJvYg=="),
                            ("Authorization", "Bearer x"), ("Cookie", "user=bob"), ("HTTP_X_TEST_USER", "bob")):
            yield f"nobody, by {name}", [(name, value)]


class SupabaseRig(TokenRig):
    """`auth = supabase`; users' names become UUIDs."""

    def uuid_of(self, user):
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, user))

    def token_of(self, user):
        return super().token_of(self.uuid_of(user))

    def identity(self, user):
        return [("Authorization", "Bearer " + self.token_of(user))]

    def bad_identities(self):
        if not hasattr(self, "bad"):
            self.bad = list(self.make_bad_identities())
        return self.bad

    def make_bad_identities(self):
        good = self.token_of("bob")
        head, claims, signature = good.split(".")
        yield "nobody", []
        for what, value in (("no scheme", good), ("another scheme", "Basic " + good), ("Token", "Token " + good),
                            ("no token", "Bearer"), ("an empty one", "Bearer "),
                            ("two tokens", f"Bearer {good} {good}"),
                            ("a comma", f"Bearer {good},"), ("quotes", f'Bearer "{good}"'),
                            ("a tab", "Bearer\t" + good), ("no claims", f"Bearer {head}..{signature}"),
                            ("no signature", f"Bearer {head}.{claims}."),
                            ("two parts", f"Bearer {head}.{claims}"), ("four parts", f"Bearer {good}.x"),
                            ("dots", "Bearer .."), ("a changed signature", f"Bearer {head}.{claims}.{signature[::-1]}"),
                            ("another claim", f"Bearer {head}.{claims[:-2]}AA.{signature}"),
                            ("padding", f"Bearer {head}=.{claims}=.{signature}="),
                            ("7 kB of it", "Bearer " + "a" * 7000), ("bytes", "Bearer \u00e9\x01"),
                            ("CRLF encoded", "Bearer x%0d%0aX-Injected: 1"),
                            ("quotes to be repeated", 'Bearer "x", error="none'),
                            ("a user", "Bearer " + self.uuid_of("nobody"))):
            yield what, [("Authorization", value)]
        for what, token, _ in bad_tokens(self, "a secret of at least 32 characters, not the project's"):
            yield what, [("Authorization", "Bearer " + token)]
        for name in ("X-Authorization", "Proxy-Authorization", "apikey", "X_Authorization", "Cookie"):
            yield f"a good one in {name}", [(name, "Bearer " + good)]


class World:
    """One stack with a job of each kind, and the eye on it."""

    def __init__(self, rig):
        self.rig = rig
        self.now = int(time.time())
        rig.faults(webhook_lost={"count": -1, "match": "[endless]"})
        self.done = self.settle("done", "bob", "succeeded", headers={"Idempotency-Key": "bobs"})
        self.failed = self.settle("[fail]", "cat", "failed")
        self.canceled = self.cancel("[endless] canceled", "dan")
        self.running = rig.submit("[endless] running", user="ann")
        rig.wait_state(self.running, "running")
        self.other = rig.submit("[endless] as well", user="fay")
        rig.wait_state(self.other, "running")
        self.hook = rig.webhook_path(self.running)
        self.token = self.hook.partition("job=")[2]
        self.prediction = rig.one_prediction(self.running)["id"]
        jobs = {"done": self.done, "failed": self.failed, "canceled": self.canceled, "other": self.other}
        self.hooks = {name: rig.webhook_path(job) for name, job in jobs.items()}
        self.made = {name: rig.one_prediction(job)["id"] for name, job in jobs.items()}
        self.cursor = self.a_cursor()
        # What a status that nobody knows is taken for.
        equal(rig.webhook(self.hook, {"id": self.prediction, "status": "processing"}).status, 200,
              "status of a webhook")
        self.watch = hostile.Watch(rig)

    def settle(self, prompt, user, status, **more):
        job = self.rig.submit(prompt, user=user, **more)
        equal(self.rig.settled(job)["status"], status, f"end of {prompt}")
        return job

    def cancel(self, prompt, user):
        job = self.rig.submit(prompt, user=user)
        self.rig.wait_state(job, "running")
        self.rig.http("POST", f"/generate/{job['id']}/cancel", user=user)
        equal(self.rig.settled(job)["status"], "canceled", f"end of {prompt}")
        return job

    def a_cursor(self):
        """Of the two jobs of zoe, who goes on with nothing here."""
        for _ in range(2):
            self.settle("[fail]", "zoe", "failed")
        answer = self.rig.http("GET", "/status?limit=1", user="zoe")
        return answer.json["next"].partition("cursor=")[2].partition("&")[0]


def setup():
    global server, supabase, outcomes
    outcomes = Outcomes()
    server = World(ServerRig(config=QUIET).start())
    rig = SupabaseRig(config=QUIET).start()
    rig.begin_anew()        # it began before the keys were published
    supabase = World(rig)


def teardown():
    for world in (server, supabase):
        if world:
            world.watch.close()
            world.rig.stop()
    if outcomes:
        outcomes.scripted.close()
        outcomes.rig.stop()


def rows_of(name, *worlds):
    """A test of all rows of hostile_rows.py's function of that name, over each of these stacks."""
    function = getattr(hostile_rows, name.removeprefix("hostile_"))

    def test_of_rows():
        watches = [world().watch for world in worlds]
        before = sum(watch.asked for watch in watches)
        for world, watch in zip(worlds, watches):
            watch.rows(function(world()))
            seen.update(watch.seen)
        comment(f"{sum(watch.asked for watch in watches) - before} rows")
    test_of_rows.__name__ = name
    test(test_of_rows)


def by_server():
    return server


def by_token():
    return supabase


for case in ("hostile_methods", "hostile_methods_of_nobody", "hostile_ids", "hostile_paths", "hostile_raw",
             "hostile_chunks", "hostile_header_sizes", "hostile_headers", "hostile_queries", "hostile_types",
             "hostile_forms", "hostile_sizes", "hostile_bodies", "hostile_forged", "hostile_addressed", "hostile_news"):
    rows_of(case, by_server)
for case in ("hostile_nobody", "hostile_somebody_else", "hostile_not_now"):
    rows_of(case, by_server, by_token)


@test
def hostile_news_of_others():
    server.watch.rows(hostile_rows.news_of_others(server), but=("generation_strays",))
    ids = ", ".join(f"'{server.made[name]}'" for name in ("done", "other"))
    ended = f"SELECT count(*) FROM generation_strays WHERE ended_at IS NOT NULL AND prediction_id IN ({ids})"
    stacks.wait_for(lambda: server.rig.sql_value(ended) == "2", 30, "end of the strays")
    equal(server.rig.one_prediction(server.other)["status"], "processing", "the prediction of another job")
    equal(server.rig.state(server.running), "running", "the job's state")


class OutcomesRig(ServerRig):
    """With a model that takes inputs."""

    def write_models(self):
        model = {"limits": {"inputs": 1}, "on": {"replicate": {"model": "sim/painter",
                                                               "input": {**e2e.INPUT, "image": "$input"}}}}
        with open(self.config["models_file"], "w", encoding="utf-8") as f:
            json.dump({**e2e.MODELS, "from-a-picture": model}, f)


class Outcomes:
    """Jobs whose predictions have succeeded as the rows say, all at once."""

    def __init__(self):
        self.scripted = Scripted(otherwise=hostile_outcomes.KEPT)
        self.rig = OutcomesRig(config={**QUIET, "supabase_input_bucket": "inputs",
                                       "max_output_bytes": f"{hostile_outcomes.MAX_OUTPUT}B",
                                       "supabase_url": self.scripted.url,
                                       "output_hosts": f"{stacks.HOST}:{self.scripted.port}"},
                             http_extra="limit_req_zone $binary_remote_addr zone=gengate_req:1m rate=1r/m;")
        self.rig.configure(output_hosts=f"{self.rig.config['output_hosts']}, {stacks.HOST}:{self.rig.port}")
        self.rig.start()
        self.asked = 0
        self.rig.faults(webhook_lost={"count": -1, "match": "[endless]"})
        self.pid = self.rig.gengate.pid
        self.scripted.answers.update({"/picture": [reply(body=hostile_outcomes.PICTURE)],
                                      "/round": [reply(302, headers=[("Location", "/round")])]})

    def begin(self, rows):
        """A running job for each row; their predictions."""
        jobs = [self.rig.submit(f"[endless] {n}") for n, _ in enumerate(rows)]
        others = "SELECT count(*) FROM generation_live WHERE state <> 'running'"
        stacks.wait_for(lambda: self.rig.sql_value(others) == "0", 60, "running jobs")
        made = {p["idempotency_key"]: p for p in self.rig.sim_call("GET", "state")["predictions"]}
        return [(job, made[job["id"]]) for job in jobs]

    def tell(self, prediction, output):
        answer = self.rig.webhook(prediction["webhook"].removeprefix(self.rig.url),
                                  {"id": prediction["id"], "status": "succeeded", "output": output},
                                  delivery="msg_" + prediction["id"])
        equal(answer.status, 200, "status of a webhook")

    def ends(self, rows, begun):
        """Each as its row says."""
        stacks.wait_for(lambda: self.rig.sql_value("SELECT count(*) FROM generation_live") == "0", 90,
                        "ends of all jobs", interval=0.2)
        wrong = []
        for (what, _, code), (job, _) in zip(rows, begun):
            end = self.rig.http("GET", f"/status/{job['id']}", user=job["user"]).json
            found = (end["error"] or {}).get("code"), end["status"], end["assets"] != []
            seen.add(found[0])
            if found != (code, "failed" if code else "succeeded", not code):
                wrong.append(f"{what}: {found}, not {code}: {self.why(job)}")
        check(not wrong, f"{len(wrong)} rows:\n" + "\n".join(wrong))
        self.count(rows)

    def why(self, job):
        return [event.get("error") for event in self.rig.gengate.events("job.step_failed") if event["job"] == job["id"]]

    def count(self, rows):
        check(self.rig.gengate.alive() and self.rig.gengate.pid == self.pid, "gengate has ended")
        self.asked += len(rows)
        comment(f"{len(rows)} rows")


@test
def hostile_outputs():
    rows = hostile_outcomes.OUTPUTS
    begun = outcomes.begin(rows)
    for (_, output, _), (_, prediction) in zip(rows, begun):
        outcomes.tell(prediction, output)
    outcomes.ends(rows, begun)
    equal([line for line in outcomes.scripted.asked if line.startswith("GET")], [], "what was fetched")


@test
def hostile_deliveries():
    rows = hostile_outcomes.FETCHED
    begun = outcomes.begin(rows)
    for (_, answers, _), (job, prediction) in zip(rows, begun):
        path = f"/fetched/{prediction['id']}"
        outcomes.scripted.answers[f"GET {path}"] = list(answers)
        outcomes.tell(prediction, [outcomes.scripted.url + path])
    outcomes.ends(rows, begun)


@test
def hostile_storages():
    rows = hostile_outcomes.STORED
    begun = outcomes.begin(rows)
    for (_, answers, _), (job, prediction) in zip(rows, begun):
        outcomes.scripted.answers[f"/{job['id']}/"] = list(answers)
        outcomes.tell(prediction, [outcomes.scripted.url + "/picture"])
    outcomes.ends(rows, begun)


@test
def hostile_texts():
    rig, texts = outcomes.rig, hostile_rows.TEXTS
    jobs = [rig.submit(text, metadata={"text": text[:2000], text[:100]: 1}) for text in texts]
    for text, job in zip(texts, jobs):
        end = rig.succeeds(job)
        equal(end["metadata"], {"text": text[:2000], text[:100]: 1}, "metadata")
        equal(rig.one_prediction(job)["input"]["prompt"], text, "prompt as the provider has it")
    outcomes.count(texts)


# -- What is broken, until each code was seen

def refused(answer, status, code):
    e2e.check_problem(answer, status, code)
    seen.add(code)


def fails(job, code):
    outcomes.rig.fails(job, code)
    seen.add(code)


@test
def jobs_that_fail():
    rig = outcomes.rig
    rig.configure(poll_interval="100ms", lease="4s")
    rig.gengate.restart()
    rig.wait_ready()
    rig.faults(list_cut=-1, create_drop_after={"count": -1, "match": "unheard"})
    rig.set_sim(list_lag_ms=600000)
    slow, unknown = rig.submit("[endless]", model="hasty"), rig.submit("[endless] unheard", model="hasty")
    rig.wait_state(unknown, "uncertain")
    ended = rig.submit("[endless]")
    rig.wait_state(ended, "running")
    rig.gengate_command("jobs", "settle", ended["id"], "--as", "failed", "--reason", "x", "--force")
    fails(ended, "ended_by_operator")
    fails(rig.submit("[fail]"), "provider_failed")
    fails(rig.submit("[nsfw]"), "content_blocked")
    fails(slow, "timeout")
    fails(unknown, "outcome_unknown")
    for fault, status, code in (("create_422", 422, "provider_rejected"), ("create_402", 503, "provider_unavailable")):
        rig.faults(**{fault: 1})
        refused(rig.http("POST", "/generate", json={"prompt": fault}, user="ned"), status, code)
        rig.resume_provider()


@test
def inputs_that_are_not_kept_or_have_gone():
    scripted, upload, sign = outcomes.scripted, "POST /storage/v1/object/inputs/", "/object/sign/inputs/"
    ask = {"prompt": "x", "model": "from-a-picture", "inputs": [hostile_outcomes.DATA]}
    scripted.answers[upload] = [hostile_outcomes.refusal("InternalError", "500", 500)]
    refused(outcomes.rig.http("POST", "/generate", json=ask, user="ned"), 503, "storage_unavailable")
    scripted.answers[upload] = [hostile_outcomes.KEPT]
    scripted.answers[sign] = [hostile_outcomes.refusal("NoSuchKey", "404")]
    refused(outcomes.rig.http("POST", "/generate", json=ask, user="ned"), 422, "input_gone")


@test
def users_who_may_not_and_keys_that_are_away():
    rig = supabase.rig
    anonymous, good = rig.es.token(rig.claims(is_anonymous=True)), rig.es.token(rig.claims())
    refused(rig.http("GET", "/status", headers={"Authorization": "Bearer " + anonymous}), 403, "forbidden")
    rig.gengate.stop()
    rig.sql("DELETE FROM generation_shared")
    rig.faults(jwks_500=-1)
    rig.gengate.start()
    rig.wait_ready()
    refused(rig.http("GET", "/status", headers={"Authorization": "Bearer " + good}), 503, "auth_unavailable")


@test
def the_house_is_broken():
    rig = outcomes.rig
    rig.sql("ALTER TABLE generation_jobs RENAME COLUMN status TO was_status")
    refused(rig.http("GET", "/status", user="ned"), 500, "internal_error")
    rig.sql("ALTER TABLE generation_jobs RENAME COLUMN was_status TO status")
    rig.postgres.stop()
    refused(rig.http("GET", "/status", user="ned"), 503, "database_unavailable")
    rig.postgres.start()
    rig.wait_ready()


@test
def there_is_no_memory():
    rig = outcomes.rig
    e2e.not_sanitized(rig, "it aborts where it finds none for itself")
    # Little more than it has.
    data = int(re.search(r"VmData:\s+(\d+)", e2e.read(f"/proc/{rig.gengate.pid}/status"))[1])
    old = resource.prlimit(rig.gengate.pid, resource.RLIMIT_DATA)
    resource.prlimit(rig.gengate.pid, resource.RLIMIT_DATA, ((data + 500) * 1024, old[1]))
    refused(rig.http("POST", "/webhooks/replicate", body=b" " * 7900000), 503, "out_of_memory")
    resource.prlimit(rig.gengate.pid, resource.RLIMIT_DATA, old)


@test
def too_much_at_once():
    rig = outcomes.rig
    for status, code, words in ((429, "too_many_requests", {"#limit_req_status": "limit_req_status"}),
                                (503, "overloaded", {})):
        rig.in_a_hurry(**{"#limit_req zone": "limit_req zone", **words})
        rig.nginx.restart()
        answers = [rig.http("POST", "/generate", body=b"{}", headers={"Content-Type": "text/plain"},
                            user="ned") for _ in range(8)]
        refused(answers[-1], status, code)


@test
def nobody_is_behind_nginx():
    rig = outcomes.rig
    rig.in_a_hurry()
    rig.nginx.restart()
    rig.gengate.pause()
    refused(rig.http("GET", "/status", user="ned"), 504, "gateway_timeout")
    rig.gengate.kill()
    refused(rig.http("GET", "/status", user="ned"), 502, "gateway_unreachable")


@test
def each_code_was_seen():
    """Those that a client or a job can have; test_openapi.py holds that list against the error table."""
    e2e.not_sanitized(outcomes.rig, "out_of_memory was not seen")
    doc = hostile_rows.DOC
    codes = {*doc["x-problem-codes"], *doc["components"]["schemas"]["JobError"]["properties"]["code"]["enum"]}
    equal(codes - seen, set(), "codes that no row led to")


@test
def rows_in_all():
    asked = server.watch.asked + supabase.watch.asked + outcomes.asked
    comment(f"{asked} rows")
    check(asked >= 2500, "some were not asked")


@test
def logs_are_clean():
    for world in (server, supabase, outcomes):
        e2e.check_logs(world.rig, *PROVOKED)
        found = [word for word in SERIOUS if word in world.rig.gengate.log()]
        equal(found, [], "what a process that broke would say")


e2e.main(setup, teardown)
