"""`gengate check`: all well, and each thing wrong once."""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, test

CONFIG, USAGE = 78, 64
NAMES = ["configuration", "database", "schema", "one_in_flight", "rights", "statements", "storage_write",
         "storage_read", "storage_remove", "provider", "clock", "public_url", "body_limit"]
SMALL = """
    location ^~ /small/ { client_max_body_size 1m; rewrite ^/small(/.*)$ $1 last; }
    location ^~ /moved/ { return 301 https://example.com$request_uri; }
    location ^~ /closed/ { return 403; }
    location ^~ /empty/ { return 404; }
    location ^~ /page/ { default_type text/html; return 200 "<html>\\n<body>It works!</body>\\n</html>\\n"; }
    location ^~ /plain/ { default_type text/plain; return 404 "404: Not Found"; }
    location ^~ /hello/ { default_type application/json; return 200 '{"hello":"world"}'; }
    location ^~ /down/ { default_type application/json; return 503 '{"detail":"Gone:\\\\r\\\\n \\u001b[2Jaway"}'; }
"""
# Of the others, those that have a call to try a key with, and those that have none.
TRIED = ["openai", "sdcpp", "comfyui"]
UNTRIED = ["fal", "bfl"]
rig = None


def setup():
    global rig
    rig = e2e.Rig(server_extra=SMALL).start()


def run(*words, **settings):
    return rig.gengate_command("check", *words, check=False, timeout=60, **settings)


def look(**settings):
    """The exit status, and the lines by name."""
    done = run("--json", **settings)
    said = json.loads(done.stdout)
    equal(said["ok"], done.returncode == 0, "ok")
    given = {name: value for name, value in settings.items() if value and name.endswith(("_key", "_token", "_secret"))}
    for what, secret in {**e2e.secrets_of(rig), **given}.items():
        check(secret not in done.stdout + done.stderr, f"{what} is printed")
    for line in said["checks"]:
        equal(list(line), ["name", "state", "text", "remedy"], "members")
        check(line["state"] != "wrong" or line["remedy"], f"no remedy: {line}")
    return done.returncode, {line["name"]: line for line in said["checks"]}


def not_ok(lines):
    return [line for line in lines.values() if line["state"] != "ok"]


def wrong(name, text, also=(), **settings):
    """That is wrong and says so, and nothing else is."""
    status, lines = look(**settings)
    equal(status, 1, f"exit status with {not_ok(lines)}")
    equal({each for each in lines if lines[each]["state"] == "wrong"}, {name, *also}, f"what is wrong in {not_ok(lines)}")
    check(text in lines[name]["text"] + lines[name]["remedy"], f"no {text!r} in {lines[name]}")
    return lines


@test
def all_is_well():
    status, lines = look()
    equal((status, {line["state"] for line in lines.values()}), (0, {"ok"}), f"exit status and states; {not_ok(lines)}")
    equal(list(lines), NAMES, "what is looked at")
    done = run()
    equal((done.returncode, done.stderr), (0, ""), "exit status")
    equal([line.split()[:2] for line in done.stdout.splitlines()], [["ok", name] for name in NAMES], "text")
    equal(rig.sim_call("GET", "objects"), [], "what it left in the bucket")
    equal(rig.sql("SELECT * FROM generation_events"), [], "what it left in the database")


@test
def a_folder_is_well():
    status, lines = look(storage="local")
    equal((status, lines["storage_read"]["state"]), (0, "ok"), f"{not_ok(lines)}")
    equal([name for _, _, names in os.walk(rig.files_dir) for name in names], [], "what it left in the folder")
    wrong("storage_read", "HTTP 404", storage="local", storage_public_url=rig.url + "/elsewhere")


@test
def the_text_says_what_to_do():
    done = run(database_url="postgresql://nobody@/none?host=/nowhere")
    equal(done.returncode, 1, "exit status")
    check("wrong    database" in done.stdout and "-> see that PostgreSQL runs" in done.stdout, done.stdout)
    check("skipped  statements" in done.stdout and "ok       storage_write" in done.stdout, done.stdout)


@test
def words():
    for more in (["--frobnicate"], ["now"], ["--json", "--config"]):
        done = rig.run([rig.gengate_program, "check", *more], env=rig.gengate_environment(), check=False)
        equal((done.returncode, done.stdout), (USAGE, ""), f"{more}")


@test
def the_configuration():
    done = run(replicate_token=None)
    equal(done.returncode, CONFIG, "exit status")
    check("replicate_token" in done.stderr, done.stderr)
    status, lines = look(workers="many")
    equal((status, list(lines), lines["configuration"]["state"]), (CONFIG, ["configuration"], "wrong"), "as JSON")


# -- The database

@test
def database_away():
    lines = wrong("database", "database_url", database_url="postgresql://nobody@/none?host=/nowhere")
    equal({lines[name]["state"] for name in ("schema", "one_in_flight", "rights", "statements")}, {"skipped"}, "the rest")


def database(name):
    return rig.config["database_url"].replace("///gengate?", f"///{name}?")


@test
def not_migrated():
    rig.sql("CREATE DATABASE empty")
    wrong("schema", "gengate migrate", database_url=database("empty"))


@test
def the_key_is_dropped():
    rig.sql("ALTER TABLE generation_live DROP CONSTRAINT generation_live_pkey")
    try:
        wrong("one_in_flight", "(none)")
        rig.sql("ALTER TABLE generation_live ADD CONSTRAINT generation_live_pkey PRIMARY KEY (owner_id, slot, job_id)")
        wrong("one_in_flight", "(owner_id, slot, job_id)")
    finally:
        rig.sql("ALTER TABLE generation_live DROP CONSTRAINT IF EXISTS generation_live_pkey")
        rig.sql("ALTER TABLE generation_live ADD CONSTRAINT generation_live_pkey PRIMARY KEY (owner_id, slot)")


@test
def a_column_is_gone():
    rig.sql("ALTER TABLE generation_live RENAME COLUMN attempts TO creates")
    try:
        wrong("statements", "attempts")
    finally:
        rig.sql("ALTER TABLE generation_live RENAME COLUMN creates TO attempts")


@test
def no_rights():
    rig.sql("CREATE ROLE stranger LOGIN")
    url = rig.config["database_url"].replace("user=gengate", "user=stranger")
    check("stranger" in url, url)
    lines = wrong("rights", "grant gengate_service", database_url=url)
    check("insert on generation_jobs" in lines["rights"]["text"], lines["rights"]["text"])
    # Rights, and still no row.
    rig.sql("GRANT ALL ON ALL TABLES IN SCHEMA public TO stranger; GRANT ALL ON ALL FUNCTIONS IN SCHEMA public TO stranger")
    wrong("rights", "row level security hides", database_url=url)
    rig.sql("DROP OWNED BY stranger; GRANT gengate_service TO stranger")
    equal(look(database_url=url)[0], 0, "exit status as a member")


@test
def realtime():
    rig.sql("CREATE PUBLICATION supabase_realtime")
    try:
        wrong("realtime", "alter publication supabase_realtime add table public.generation_jobs;")
        rig.sql("ALTER PUBLICATION supabase_realtime ADD TABLE generation_jobs")
        equal(look()[1]["realtime"]["state"], "ok", "state")
    finally:
        rig.sql("DROP PUBLICATION supabase_realtime")


# -- The storage

@test
def no_bucket():
    wrong("storage_write", "NoSuchBucket", supabase_bucket="none")


@test
def a_private_bucket():
    wrong("storage_read", "make the bucket public", supabase_bucket="inputs")


@test
def a_wrong_storage_key():
    wrong("storage_write", "AccessDenied", supabase_key="sb_secret_other")
    wrong("storage_write", "row-level security", supabase_key="sb_publishable_sim")


@test
def a_file_that_stays():
    rig.faults(storage_500={"count": 1, "match": "DELETE"})
    wrong("storage_remove", "InternalError")
    rig.sim_call("POST", "reset")


# -- The provider

@test
def a_wrong_token():
    wrong("provider", "does not take our key", replicate_token="r8_other")


@test
def no_provider():
    wrong("provider", "does not answer", replicate_url="http://127.0.0.1:1/v1")
    wrong("provider", "HTTP 404", replicate_url=rig.url + "/empty/v1")


# -- The other providers

def instead(provider, **settings):
    """That one, played by the simulator, and nobody else."""
    models = os.path.join(rig.srcdir, "models.json")
    with open(models, encoding="utf-8") as f:
        model = next(name for name, profile in json.load(f).items() if provider in profile["on"])
    return {"provider": provider, "models_file": models, "default_model": model, "replicate_token": None,
            "replicate_webhook_secret": None, **rig.simulated(provider), **settings}


def moved(provider, place):
    """Its API is somewhere else."""
    return instead(provider, **{f"{provider}_url": rig.url + place})


@test
def each_of_the_others():
    for provider in e2e.stacks.SIMULATED:
        status, lines = look(**instead(provider))
        equal(status, 0, f"exit status with {provider}: {not_ok(lines)}")
        said = lines["provider"]
        check((said["state"], "it answers, but has no call to try its key" in said["text"]) == (("note", True) if provider in UNTRIED
              else ("ok", False)), f"{provider}: {said}")
        equal((lines["clock"]["state"], lines["public_url"]["state"]), ("ok", "note"), f"{provider}: {lines}")


@test
def a_server_that_wants_no_key():
    for provider in ("sdcpp", "comfyui"):
        check(look(**instead(provider))[1]["provider"]["text"].endswith(": it answers"), provider)
        lines = look(**instead(provider, **{f"{provider}_key": "of-a-proxy"}))[1]
        check(lines["provider"]["text"].endswith(": it takes our key"), lines["provider"])


@test
def several_at_once():
    """Whose a line is stands in it."""
    models = os.path.join(rig.dir, "several.json")
    part = {"model": "sim/painter", "input": {"prompt": "$prompt"}}
    with open(models, "w", encoding="utf-8") as f:
        json.dump({"painter": {"order": ["replicate", "bfl", "fal"], "on": {"replicate": part, "bfl": part, "fal": part}}}, f)
    said = json.loads(run("--json", models_file=models, default_model="painter", bfl_webhook_secret="a secret of our own",
                          **rig.simulated("bfl"), **rig.simulated("fal")).stdout)["checks"]
    for name in ("provider", "clock", "public_url", "body_limit"):
        equal([line["text"].partition(": ")[0] for line in said if line["name"] == name],
              ["Replicate", "fal", "Black Forest Labs"], f"whose lines there are of {name}, in {said}")


@test
def a_key_that_one_of_the_others_does_not_take():
    wrong("provider", "does not take our key", **instead("openai", openai_key="sk-other"))
    for provider in ("sdcpp", "comfyui"):
        rig.set_sim(**{f"{provider}_key": "key-that-is-wanted"})
        try:
            lines = wrong("provider", "wants a key: HTTP 401", **instead(provider))
            equal(lines["provider"]["remedy"], f"set {provider}_key", "what to do")
            lines = wrong("provider", "HTTP 401", **instead(provider, **{f"{provider}_key": "of-another-server"}))
            check(f"see that {provider}_key is right" in lines["provider"]["remedy"], lines["provider"])
            equal(look(**instead(provider, **{f"{provider}_key": "key-that-is-wanted"}))[0], 0, f"{provider}: exit status with its key")
        finally:
            rig.set_sim(**{f"{provider}_key": ""})


@test
def a_key_that_has_to_be_there():
    for provider in ("fal", "bfl"):
        done = run(**instead(provider, **{f"{provider}_key": None}))
        equal(done.returncode, CONFIG, "exit status")
        check(f"{provider}_key" in done.stderr, done.stderr)


@test
def one_of_the_others_is_not_there():
    for provider in TRIED + UNTRIED:
        lines = wrong("provider", "does not answer", **instead(provider, **{f"{provider}_url": "http://127.0.0.1:1"}))
        equal(lines["clock"]["state"], "skipped", "clock")
        check(f"see that {provider}_url is right" in lines["provider"]["remedy"], lines["provider"])
    for provider in TRIED:
        wrong("provider", f"see that {provider}_url is right", **moved(provider, "/page"))
        wrong("provider", "HTTP 404", **moved(provider, "/plain"))
        wrong("provider", "HTTP 200, but this is another API", **moved(provider, "/hello"))
        lines = wrong("provider", "HTTP 301: it redirects to https://example.com/moved/", **moved(provider, "/moved"))
        equal(lines["provider"]["remedy"], f"set {provider}_url to where it leads", "what to do")


@test
def a_comfyui_of_old():
    wrong("provider", "update it", **moved("comfyui", "/plain"))


@test
def a_page_stays_in_its_line():
    """What a server says is on somebody's terminal, who reads line by line."""
    done = run(**moved("openai", "/down"))
    equal(done.returncode, 1, "exit status")
    line = next((line for line in done.stdout.split("\n") if line.startswith("wrong    provider")), "")
    check("HTTP 503: Gone: ?[2Jaway" in line and "\x1b" not in done.stdout, done.stdout)


@test
def webhooks_of_black_forest_labs():
    secret = "a secret of our own and of some length"
    before = dict(rig.config)
    rig.configure(**instead("bfl", bfl_webhook_secret=secret))
    rig.gengate.restart()
    try:
        rig.wait_ready()
        status, lines = look()
        equal((status, lines["public_url"]["state"], lines["body_limit"]["state"]), (0, "ok", "ok"), f"{not_ok(lines)}")
        wrong("public_url", "same webhook secret", bfl_webhook_secret=secret[::-1])
    finally:
        rig.configure(**{name: before.get(name) for name in rig.config})
        rig.gengate.restart()
        rig.wait_ready()


@test
def the_clock_is_off():
    for offset, way in ((3600000, "behind"), (-3600000, "ahead of")):
        rig.set_sim(clock_offset_ms=offset)
        wrong("clock", way)
    rig.set_sim(clock_offset_ms=0)


# -- The way back

@test
def plain_http():
    wrong("public_url", "not https", public_url="http://gateway.example")


@test
def it_redirects():
    lines = wrong("public_url", "do not follow redirects", public_url=rig.url + "/moved")
    check(lines["public_url"]["text"].endswith("to https://example.com/moved/webhooks/replicate"), lines["public_url"]["text"])


@test
def it_is_not_reached():
    wrong("public_url", "is not reached", public_url="http://127.0.0.1:1")
    wrong("public_url", "HTTP 403", public_url=rig.url + "/closed")
    wrong("public_url", "HTTP 404", public_url=rig.url + "/empty")


@test
def another_gateway_is_there():
    wrong("public_url", "same webhook secret", replicate_webhook_secret="whsec_" + "QUJD" * 8)
    wrong("public_url", "same secret_key", secret_key="another key of enough length")


@test
def no_webhook_secret():
    status, lines = look(replicate_webhook_secret=None)
    equal((status, lines["public_url"]["state"], lines["body_limit"]["state"]), (0, "note", "skipped"), f"{not_ok(lines)}")
    equal(lines["public_url"]["remedy"], "set replicate_webhook_secret", "what to do")
    check("fetched with our key" in lines["public_url"]["text"], lines["public_url"])
    lines = look(**instead("bfl"))[1]
    equal(lines["public_url"]["remedy"], "set bfl_webhook_secret", "what to do")
    check("jobs are polled" in lines["public_url"]["text"], lines["public_url"])


@test
def a_small_body_limit():
    wrong("body_limit", "client_max_body_size", public_url=rig.url + "/small")


@test
def gengate_is_not_there():
    rig.gengate.stop()
    try:
        wrong("public_url", "start gengate")
    finally:
        rig.gengate.start()
        rig.wait_ready()


@test
def logs_are_clean():
    e2e.check_logs(rig, r"connect\(\) to unix:.*g0\.sock failed", r"client intended to send too large body")


e2e.main(setup, lambda: rig and rig.stop())
