"""A profile with several providers: the next one is used only while nothing can exist at
the one before."""

import json
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

rig = None

PRICE = {"per": "image", "amount": 0.003, "currency": "USD"}
FAL = {"model": "fal-ai/flux/dev", "input": {"prompt": "$prompt", "image_size": {
    "$aspect_ratio": {"1:1": "square_hd", "16:9": "landscape_16_9"}}}}
REPLICATE = {"model": "sim/painter", "price": PRICE,
             "input": {"prompt": "$prompt", "num_outputs": "$count", "width": "$width", "height": "$height"}}
TWO = {"order": ["fal", "replicate"], "aspect_ratios": {"1:1": [64, 64], "16:9": [160, 96]},
       "defaults": {"aspect_ratio": "16:9", "count": 2}, "on": {"replicate": REPLICATE, "fal": FAL}}


def setup():
    global rig
    # A create may take half of a lease.
    rig = e2e.Rig(config={"lease": "20s", "uncertain_grace": "500ms", "default_model": "two"})
    # In the file, so that a reload finds another one than the environment's.
    rig.configure(**rig.simulated("fal"), provider=None)
    use("replicate")
    with open(rig.config["models_file"], "w", encoding="utf-8") as f:
        json.dump({"two": TWO, "two-in-a-hurry": {**TWO, "timeout": "5s"},
                   "turned": {**TWO, "order": ["replicate", "fal"]},
                   "turned-in-a-hurry": {**TWO, "order": ["replicate", "fal"], "timeout": "5s"},
                   "either": {"on": TWO["on"]}, "elsewhere": {"on": {"fal": FAL}}}, f)
    rig.start()


def use(provider):
    with open(rig.config_file, "w", encoding="utf-8") as f:
        f.write(f"provider = {provider}\n")


def provider_in_trail(job):
    return [row[0] for row in rig.sql("SELECT detail ->> 'next_provider' FROM generation_events"
                                      f" WHERE job_id = '{job['id']}' AND detail ? 'next_provider' ORDER BY id")]


def with_fault(fault, prompt, **members):
    rig.faults(**{fault: {"count": 1, "match": prompt}})
    return rig.submit(prompt, **members)


@test
def the_first_is_used_while_it_takes_jobs():
    job = rig.submit("a first choice")
    equal(rig.succeeds(job)["provider"], "fal", "provider")
    equal(provider_in_trail(job), [], "other providers")


@test
def one_that_is_throttled_is_passed_over():
    job = with_fault("create_429", "a second choice")
    end = rig.succeeds(job)
    equal((end["id"], end["provider"]), (job["id"], "replicate"), "job")
    equal(provider_in_trail(job), ["replicate"], "trail")
    prediction, = rig.predictions(job)
    equal([prediction["input"][name] for name in ("num_outputs", "width", "height")], [2, 160, 96], "input")
    equal(end["cost"], {"amount": 0.006, "currency": "USD"}, "cost")


@test
def one_that_takes_nothing_from_us_is_passed_over():
    try:
        job = with_fault("create_401", "another second choice")
        equal(rig.succeeds(job)["provider"], "replicate", "provider")
        equal(provider_in_trail(job), ["replicate"], "trail")
        paused = {p["name"] for p in json.loads(rig.gengate_command("provider", "list", "--json").stdout)["providers"]
                  if p["pause"]}
        equal(paused, {"fal"}, "paused")
        # New jobs do not go there at all.
        equal(rig.succeeds(rig.submit("nobody asks the first"))["provider"], "replicate", "provider")
    finally:
        rig.gengate_command("provider", "resume", "fal")
        stacks.wait_for(lambda: rig.gengate.events("provider.resumed"), 10, "the process to know of it")


@test
def a_refused_request_goes_nowhere_else():
    job = with_fault("create_422", "what nobody wants")
    equal(rig.fails(job, "provider_rejected")["provider"], "fal", "provider")
    equal((provider_in_trail(job), rig.predictions(job)), ([], []), "elsewhere")


@test
def an_unknown_outcome_goes_nowhere_else():
    """Nobody can say that it does not exist, and the first has no list to look at."""
    rig.faults(webhook_lost={"count": -1, "match": "who knows"})
    try:
        job = with_fault("create_drop_before", "who knows", model="two-in-a-hurry")
        end = rig.fails(job, "outcome_unknown", timeout=60)
        equal((end["provider"], end["cost"]), ("fal", None), "provider and cost")
        equal((provider_in_trail(job), rig.predictions(job)), ([], []), "elsewhere")
    finally:
        rig.faults(webhook_lost=0)


@test
def what_comes_to_light_at_the_one_before_is_ended():
    """Its list was too slow, so the job has gone on when the first prediction is heard of."""
    rig.set_sim(list_lag_ms=600000, slow_ms=8000)
    rig.faults(create_drop_after={"count": 1, "match": "not listed"},
               webhook_late={"count": 1, "delay_ms": 4000, "match": "not listed"})
    try:
        job = rig.submit("[slow] not listed", model="turned")
        equal(rig.succeeds(job)["provider"], "fal", "provider")
        equal(provider_in_trail(job), ["fal"], "trail")
        stacks.wait_for(lambda: "stray_canceled" in rig.trail(job), 20, "the end of the first one")
        equal(rig.sql_value(f"SELECT provider FROM generation_strays WHERE job_id = '{job['id']}'"),
              "replicate", "the stray's provider")
    finally:
        rig.set_sim(list_lag_ms=0)


@test
def what_was_left_at_the_one_before_is_nobody_elses():
    """Two ask for the same; the first has gone on when the list shows what it left behind, which
    says nobody's name.  It is not the other's."""
    secret = rig.config["replicate_webhook_secret"]
    rig.configure(replicate_webhook_secret=None)
    rig.faults(secret_401=-1, create_drop_after={"count": 1, "match": "the same for two"})
    rig.gengate.restart()
    rig.wait_ready()
    rig.set_sim(list_lag_ms=600000)
    try:
        first = rig.submit("the same for two [endless]", model="turned")
        stacks.wait_for(lambda: provider_in_trail(first) == ["fal"], 20, "it to go on")
        rig.wait_state(first, "running")
        rig.set_sim(list_lag_ms=0)
        rig.faults(create_drop_before={"count": 1, "match": "the same for two"})
        other = rig.submit("the same for two [endless]", model="turned-in-a-hurry")
        rig.fails(other, "outcome_unknown", timeout=60)
        check("found" not in rig.trail(other), f"trail: {rig.trail(other)}")
        rig.http("POST", f"/generate/{first['id']}/cancel", user=first["user"])
        rig.settled(first)
    finally:
        rig.set_sim(list_lag_ms=0)
        rig.faults(secret_401=0)
        rig.configure(replicate_webhook_secret=secret)
        rig.gengate.restart()
        rig.wait_ready()


@test
def values_without_a_word_are_refused():
    answer = rig.post(aspect_ratio="3:2", user="somebody")
    e2e.check_problem(answer, 400, "invalid_request")
    equal([e["pointer"] for e in answer.json["errors"]], ["/aspect_ratio"], "pointers")
    check("1:1, 16:9" in answer.json["errors"][0]["detail"], f"what is taken is not told: {answer.json}")


@test
def a_model_of_another_provider_is_not_offered():
    answer = rig.post(model="elsewhere", user="somebody")
    e2e.check_problem(answer, 400, "invalid_request")
    equal([(e["pointer"], "elsewhere" in e["detail"]) for e in answer.json["errors"]], [("/model", False)], "errors")
    text = rig.gengate_command("models").stdout
    check("not offered: it has nothing for replicate" in text, text)
    done = rig.gengate_command("models", default_model="elsewhere", check=False)
    check(done.returncode == 78 and "default_model" in done.stderr, f"as the default: {done}")


@test
def the_command_tells_profiles():
    told = json.loads(rig.gengate_command("models", "--json").stdout)
    equal(told["two"]["order"], ["fal", "replicate"], "order")
    equal(told["either"]["order"], ["replicate"], "order of the configuration")
    equal(told["two"]["on"]["replicate"]["price"], PRICE, "price")
    text = rig.gengate_command("models").stdout
    check("at fal, then replicate (0.003 USD per image)" in text, text)


@test
def another_provider_is_one_line_and_a_reload():
    """What the old one has goes on there, by webhook and by polls; new jobs go to the other."""
    rig.set_sim(processing_ms=3000)
    try:
        old = rig.submit("begun at the first", model="either")
        rig.wait_state(old, "running")
        use("fal")
        before = len(rig.gengate.events("config.reloaded"))
        rig.gengate.signal(signal.SIGHUP)
        stacks.wait_for(lambda: len(rig.gengate.events("config.reloaded")) > before, 10, "the reload")
        new = rig.submit("begun at the other", model="either")
        equal([rig.succeeds(job)["provider"] for job in (old, new)], ["replicate", "fal"], "providers")
        equal([len(rig.predictions(job)) for job in (old, new)], [1, 1], "creates")
        told = json.loads(rig.gengate_command("models", "--json").stdout)
        equal(told["either"]["order"], ["fal"], "order of the configuration")
    finally:
        rig.set_sim(processing_ms=100)


@test
def logs_are_clean():
    e2e.check_logs(rig)


e2e.main(setup, lambda: rig and rig.stop())
