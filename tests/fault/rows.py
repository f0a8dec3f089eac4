"""The rows of the fault matrix: what is set up, what goes wrong, how it has to end."""

import base64
import random
import signal
import time

import alloc_rows
from clusters import OnSmallDisk, WithStandby
from fault import LEASE_S, Rig, Row, stacks
from providers import OTHERS, OnProvider

ROWS = [*alloc_rows.ROWS]

# What a row may run on; started when the first row wants it.
STACKS = {
    "two gengates": lambda: Rig(),
    "a database that can be cut off": lambda: Rig(database_pipe=True),
    "a storage that can be cut off": lambda: Rig(storage_pipe=True),
    "a provider that can be cut off": lambda: Rig(provider_pipe=True),
    "three gengates": lambda: Rig(gengates=3),
    "a synchronous standby": WithStandby,
    "a small disk": OnSmallDisk,
    "clocks ten minutes ahead": lambda: Rig(wrong_clock_s=600),
    "clocks ten minutes behind": lambda: Rig(wrong_clock_s=-600),
    **{other.name: lambda other=other: OnProvider(other) for other in OTHERS},
    **alloc_rows.STACKS,
}


def row(name, **what):
    ROWS.append(Row(name, **what))


# -- Killed, and stopped for two leases and continued, at each pause point

def arm(point, how):
    return lambda run: run.rig.arm(point, how)


def killed(run):
    part = run.wait_caught()
    part.wait()
    part.start()


def stopped(run):
    """The others end what it had begun; then it goes on with it."""
    part = run.wait_caught()
    time.sleep(2 * LEASE_S + 0.2)
    run.wait_ended()
    part.resume()


def at_point(point, where, during=None, **what):
    def both(fault):
        def act(run):
            if during:
                during(run)
            fault(run)
        return act
    row(f"killed {where}", before=arm(point, "KILL"), during=both(killed), **what)
    row(f"stopped {where}", before=arm(point, "STOP"), during=both(stopped), **what)


def cancel_all(run):
    run.wait_created()
    run.wait_state("running", len(run.jobs))
    for job in run.jobs:
        run.spawn(run.ask, job, "POST", f"/generate/{job.id}/cancel")


at_point("create.committed", "after the create's commit")
at_point("submitting.uncommitted", "before submitting is committed")
# No webhook says that there is a prediction: it has to be looked for.
NO_WEBHOOKS = {"webhook_lost": -1}
at_point("submitting.committed", "after submitting is committed", faults=NO_WEBHOOKS)
at_point("submit.first_byte", "after the call's first byte", faults=NO_WEBHOOKS)
at_point("submit.answered", "after the call's answer", faults=NO_WEBHOOKS)
at_point("find.looked", "after a look for a create", faults={**NO_WEBHOOKS, "create_drop_before": 3, "create_drop_after": 3})
# The first one that comes tells of the end.
at_point("webhook.committed", "after a webhook's commit", faults={"webhook_lost": {"count": -1, "match": '"status":"processing"'}})
at_point("output.fetched", "between fetching and storing", members={"count": 2})
at_point("output.stored", "between storing and recording", members={"count": 2})
at_point("job.settling", "before settling")
at_point("cancel.answered", "while cancelling", during=cancel_all, prompt="[endless]", end="canceled", faults=NO_WEBHOOKS)


# -- Postgres

def away(seconds, how="stop"):
    def act(run):
        run.wait_created(1)
        getattr(run.rig.postgres, how)()
        time.sleep(seconds)
        run.rig.postgres.start()
    return act


SLOWER = {"processing_ms": 700}
row("Postgres stopped", jobs=6, apart_s=0.2, sim=SLOWER, during=away(3))
row("Postgres killed", jobs=6, apart_s=0.2, sim=SLOWER, during=away(1, "kill"))
row("Postgres restarted", jobs=6, apart_s=0.2, sim=SLOWER, during=away(0))


def terminate(run):
    run.repeat_sql("PERFORM pg_stat_clear_snapshot(); PERFORM pg_terminate_backend(pid) FROM pg_stat_activity"
                   " WHERE datname = 'gengate' AND pid <> pg_backend_pid()", 3, 0.05)


row("Postgres: connections cut in a statement", jobs=12, apart_s=0.2, during=terminate)

# What is sent with a statement: its name once it is prepared, and of its text where it goes without a name.
STATEMENTS = (("create_job", "from public.create_job("), ("job_move", "moved_by = $", "submitting"),
              ("job_move", "moved_by = $", "accepted"), ("asset_stored", "set storage_key = $4"),
              ("job_settle", "delete from public.generation_live"))


def lose_answers(run):
    for name, text, *words in STATEMENTS:
        run.rig.database.cut(text if run.rig.with_pooler else name, *words)
        stacks.wait_for(lambda: run.rig.database.cuts, 15, f"{name} {words} to be cut")


row("Postgres: a commit's answer lost", jobs=12, apart_s=0.25, stack="a database that can be cut off", during=lose_answers)


def n_given_up(run):
    return sum(part.log().count("did not answer in time") for part in run.rig.gengates)


def fall_silent(run):
    run.wait_created(1)
    run.given_up = n_given_up(run)
    run.rig.database.silence(new=False)


def gave_up(run):
    if n_given_up(run) == run.given_up:
        run.why.append("no statement was given up at its deadline")


row("Postgres: connections that go silent", jobs=6, apart_s=0.3, stack="a database that can be cut off", during=fall_silent,
    look=gave_up)


def promote(run):
    run.wait_created(4)
    run.rig.promote()


row("Postgres: synchronous standby promoted", jobs=16, apart_s=0.15, sim=SLOWER, stack="a synchronous standby", during=promote)


def fill_disk(run):
    run.wait_created(2)
    run.rig.fill()
    time.sleep(3)
    run.rig.free()


def was_full(run):
    if "No space left on device" not in run.rig.postgres.log():
        run.why.append("the disk was never full")


# Letters that do not compress, so that each job takes pages of its own.
BULKY = {"metadata": {"bulk": base64.b64encode(random.Random(1).randbytes(6000)).decode()}}
row("Postgres: disk full", jobs=10, apart_s=0.25, members=BULKY, stack="a small disk", during=fill_disk, look=was_full)


# -- nginx: between clients and us, us and the provider, us and the storage

def reload_nginx(run):
    for _ in range(5):
        time.sleep(0.25)
        run.rig.nginx.signal(signal.SIGHUP)


def restart_nginx(run):
    for _ in range(3):
        time.sleep(0.4)
        run.rig.nginx.restart()


row("nginx reloaded", jobs=10, apart_s=0.15, during=reload_nginx)
row("nginx restarted", jobs=10, apart_s=0.15, during=restart_nginx)


# -- Several processes

def kill_each(run):
    for part in 2 * run.rig.gengates:
        time.sleep(0.35)
        part.kill()
        part.start()


row("three gengates, each killed twice", jobs=24, apart_s=0.1, stack="three gengates", during=kill_each)


# -- The provider

row("provider: 429 with Retry-After", faults={"create_429": {"count": 6, "retry_after": 1}})
row("provider: 429 without Retry-After", faults={"create_429": {"count": 6, "variant": "bare"}})


def one_failed(run):
    ends = [job.end["status"] for job in run.jobs]
    if ends.count("failed") != 1:
        run.why.append(f"one create was refused for want of credit; ends: {ends}")


# All processes know of the pause before the second job comes, and one job tries when it is over.
row("provider: 402", apart_s=1.5, faults={"create_402": 1}, end="succeeded|failed provider_unavailable", look=one_failed,
    timeout=75)
# Creates whose outcome is not known: looked for, found or not there, and never sent twice.
CREATE = "POST /replicate/v1"
row("provider: 500 before creating", faults={"create_500_before": 4})
row("provider: 500 after creating", faults={**NO_WEBHOOKS, "create_500_after": 4})
row("provider: 500 after creating, with webhooks", faults={"create_500_after": 4})
row("provider: hang before creating", faults={"create_hang": {"count": 4, "delay_ms": 3000}})
row("provider: hang after creating", faults={**NO_WEBHOOKS, "create_late": {"count": 4, "delay_ms": 3000}})
row("provider: closed before creating", faults={"create_drop_before": 4})
row("provider: reset after creating", faults={**NO_WEBHOOKS, "api_reset": {"count": 4, "match": CREATE}})
row("provider: a truncated body", faults={**NO_WEBHOOKS, "create_cut": 4})
row("provider: HTML", faults={**NO_WEBHOOKS, "api_html": {"count": 4, "match": CREATE}})
row("provider: 200 MB of JSON", faults={**NO_WEBHOOKS, "api_huge": {"count": 4, "match": CREATE}})


def speak_again(run):
    """To who comes now; who waits for an answer waits for ever."""
    time.sleep(3.5)
    run.rig.provider.silence(new=False)


row("provider: a silent connection", stack="a provider that can be cut off",
    before=lambda run: run.rig.provider.silence(), during=speak_again)
row("provider: a list in pages", jobs=8, sim={"page_size": 2}, faults={**NO_WEBHOOKS, "create_drop_after": 8})
row("provider: a list that lags", sim={"list_lag_ms": 1000}, faults={**NO_WEBHOOKS, "create_drop_after": 4})


def told_once(run):
    job = run.jobs[0]
    told = f"SELECT count(*) FROM generation_events WHERE job_id = '{job.id}' AND event = 'stray_canceled'"
    stacks.wait_for(lambda: run.rig.sql_value(told) != "0", 10, "word of the stray in the trail")
    if (n := run.rig.sql_value(told)) != "1":
        run.why.append(f"the trail says {n} times that the stray was cancelled")


# The first prediction's first webhook comes when there is a second one.
STRAY = {"jobs": 1, "look": told_once, "prompt": "[slow]", "strays": 1, "sim": {"list_lag_ms": 60000, "slow_ms": 8000}, "faults": {
    "create_drop_after": 1, "webhook_late": {"count": 1, "delay_ms": 5000, "match": '"status":"processing"'}}}
row("provider: a list that lags longer than the grace", **STRAY)
at_point("stray.answered", "while cancelling a stray", **STRAY)


def stopped_until_sent_again(run):
    """Then it wakes up with the first one's answer."""
    part = run.wait_caught()
    run.wait_created(2)
    run.wait_state("running")
    part.resume()


row("stopped after the call's answer, and a list that lags", before=arm("submit.answered", "STOP"),
    during=stopped_until_sent_again,
    **{**STRAY, "sim": {"list_lag_ms": 60000, "slow_ms": 12000}, "faults": NO_WEBHOOKS})
# The first answers come later than a status call is waited for.
row("provider: polls answered late", faults={**NO_WEBHOOKS, "delay": {"count": 4, "delay_ms": 16000, "match": "GET /replicate/v1"}})
row("provider: polls reset", faults={**NO_WEBHOOKS, "api_reset": {"count": 6, "match": "GET"}})
row("provider: polls answered 500", faults={**NO_WEBHOOKS, "get_500": 6})
row("provider: polls cut short", faults={**NO_WEBHOOKS, "api_cut": {"count": 6, "match": "GET"}})
row("provider: polls answered by HTML", faults={**NO_WEBHOOKS, "api_html": {"count": 6, "match": "GET"}})
row("provider: polls answered by 200 MB of JSON", faults={**NO_WEBHOOKS, "api_huge": {"count": 4, "match": "GET"}})
row("provider: 404 for a live prediction", faults={**NO_WEBHOOKS, "get_404": 6})
row("provider: aborted", prompt="[stuck]", members={"model": "hasty"}, end="failed timeout")
row("provider: succeeded with null and data_removed", prompt="[null]", end="failed outputs_lost")


# -- Webhooks

row("webhooks lost", faults=NO_WEBHOOKS)


def all_heard(of_each):
    """Those that come after the end have come, too."""
    def act(run):
        wanted = of_each * len(run.jobs)
        stacks.wait_for(lambda: run.rig.counters()["webhooks_delivered"] >= wanted, 15, f"{wanted} webhooks answered 2xx")
    return act


row("webhooks late", faults={"webhook_late": {"count": -1, "delay_ms": 2500}}, after=all_heard(2))
row("webhooks doubled", jobs=8, faults={"webhook_twice": -1}, after=all_heard(4))
# Each is sent once: it has to find its job before that knows its prediction.
row("webhooks early", sim={"webhook_retries": 0}, faults={"webhook_before_answer": -1}, after=all_heard(2))
# The first webhook comes while what the second one told of is being stored.
row("webhooks reordered", after=all_heard(2), faults={
    "webhook_late": {"count": -1, "delay_ms": 1500, "match": '"status":"processing"'},
    "storage_slow": {"count": -1, "delay_ms": 3000, "match": "POST /storage"}})


def none_heard(run):
    if (n := run.rig.counters()["webhooks_delivered"]):
        run.why.append(f"{n} webhooks were taken")


row("webhooks signed ten minutes ago", faults={"webhook_stale": -1}, look=none_heard)
row("webhooks signed in ten minutes", faults={"webhook_stale": {"count": -1, "delay_ms": -600000}}, look=none_heard)
row("webhooks of 3 MB", prompt="[talkative]", after=all_heard(2))


def all_predictions(run):
    """One of each job, in the jobs' order."""
    run.wait_created()
    found = {p["idempotency_key"]: p for p in run.rig.sim_call("GET", "state")["predictions"]}
    return [found[run.job(job.number).id] for job in run.jobs]


def tell(run, prediction, body, wanted, **signing):
    """A webhook at a prediction's URL."""
    answer = run.rig.webhook(prediction["webhook"].removeprefix(run.rig.url), body, **signing)
    if answer.status != wanted:
        run.why.append(f"a webhook was answered {answer}, not {wanted}")


ENDS = ({"status": "failed", "error": "no"}, {"status": "canceled"},
        {"status": "succeeded", "output": ["https://example.com/x.png"]})


def forge(run):
    predictions = all_predictions(run)
    wrong = "whsec_" + base64.b64encode(b"somebody else's secret").decode()
    for n, prediction in enumerate(predictions):
        for end in ENDS:
            tell(run, prediction, {"id": prediction["id"], **end}, 401, delivery=f"msg_forged_{n}", secret=wrong)


def misdirect(run):
    """Rightly signed, and about a prediction that is another job's or nobody's."""
    predictions = all_predictions(run)
    for n, prediction in enumerate(predictions):
        for m, end in enumerate(ENDS):
            for other in (predictions[n - 1]["id"], "nobodys"):
                tell(run, prediction, {"id": other, **end}, 200, delivery=f"msg_{n}_{m}_{other}")


row("webhooks forged", sim=SLOWER, faults={"webhook_bad_signature": -1}, during=forge)
row("webhooks at another job's URL", sim=SLOWER, during=misdirect)


# -- Clocks, with creates that have to be looked for

LOST_ANSWERS = {"create_drop_before": 2, "create_drop_after": 2}

row("our clocks ten minutes ahead", faults=LOST_ANSWERS, stack="clocks ten minutes ahead")
row("our clocks ten minutes behind", faults=LOST_ANSWERS, stack="clocks ten minutes behind")
row("the provider's clock ten minutes ahead", faults=LOST_ANSWERS, sim={"clock_offset_ms": 600000})
row("the provider's clock ten minutes behind", faults=LOST_ANSWERS, sim={"clock_offset_ms": -600000})


# -- Storage

def until(seconds, end):
    def act(run):
        run.wait_state("storing", 1)
        time.sleep(seconds)
        end(run.rig)
    return act


PUT = "POST /storage"
CUT_OFF = "a storage that can be cut off"
row("storage silent", stack=CUT_OFF, before=lambda run: run.rig.storage.silence(), timeout=100,
    during=until(2, lambda rig: rig.storage.silence(new=False) or setattr(rig.storage, "silent", False)))
row("storage down", stack=CUT_OFF, before=lambda run: run.rig.storage.refuse(),
    during=until(4, lambda rig: rig.storage.accept()))
row("storage slow", faults={"storage_slow": {"count": -1, "delay_ms": 2500, "match": PUT}})
row("storage: already there with the same size", members={"count": 2}, faults={"storage_drop_after": {"count": 6, "match": PUT}})
row("storage: already there with another size", faults={"storage_half": {"count": -1, "match": PUT}}, end="failed outputs_lost")
row("storage: 403", faults={"storage_403": {"count": 6, "match": PUT}})
row("storage: 413", end="failed outputs_lost",
    before=lambda run: run.rig.sim_call("POST", "buckets", {"id": "outputs", "public": True, "file_size_limit": 100}))
row("storage: 5xx once", faults={"storage_500": {"count": 1, "match": PUT}})
row("storage: 5xx for long", faults={"storage_500": {"count": -1, "match": PUT}, "storage_544": {"count": 2, "match": PUT}},
    during=until(5, lambda rig: rig.faults(storage_500=0)))


# -- Outputs

row("outputs: 404", prompt="[404]", end="failed outputs_lost")


def expire(run):
    run.wait_taken("delivery_500")
    time.sleep(2)
    run.rig.faults(delivery_500=0)


row("outputs expired", sim={"data_ttl_ms": 2000}, faults={"delivery_500": -1}, during=expire, end="failed outputs_lost")
row("outputs in a slow drip", faults={"delivery_drip": {"count": 4, "delay_ms": 9000}})
row("outputs over the ceiling", prompt="[huge]", end="failed outputs_lost")
row("outputs redirected inside", faults={"delivery_redirect": -1}, end="failed outputs_lost")
row("outputs: HTML named .png", prompt="[html]", end="failed output_type")


# -- The other providers: what depends on what their APIs can tell

UNKNOWN = "failed outcome_unknown"


def told_apart(other):
    """What nobody can look for is sent once; what is told of later did not end unknown."""
    def look(run):
        for job in run.jobs:
            creates = run.rig.trail({"id": job.id}).count("submitting")
            if creates != 1 and other.tells != "id":
                run.why.append(f"job {job.number} was sent {creates} times, though nobody knew what became of the first")
            if other.tells and job.predictions and job.end["status"] != "succeeded":
                run.why.append(f"job {job.number} ended unknown, though {other.name} told what became of it")
    return look


def rows_on(other):
    def on(fault, **what):
        row(f"{other.name}: {fault}", stack=other.name, look=told_apart(other), **what)

    # Which creates were under way, and how far, is not known; only by its id one is looked for.
    by_luck = {} if other.tells == "id" else {"members": {"model": "brisk"}, "end": f"succeeded|{UNKNOWN}"}
    on("killed after the call's first byte", before=arm("submit.first_byte", "KILL"), during=killed, **by_luck)
    # What nothing is known of ends when its time is over.
    lost = {} if other.tells else {"members": {"model": "hasty"}, "end": UNKNOWN}
    on("500 after creating", faults={"create_500_after": 4}, **lost)
    # The first webhooks come when the call has been given up.
    late = {"webhook_late": {"count": -1, "delay_ms": 2500}} if other.has_webhooks else {}
    on("hang after creating", faults={"create_late": {"count": 4, "delay_ms": 7000}, **late}, **lost)
    if other.has_webhooks:
        on("webhooks lost", faults=NO_WEBHOOKS)
    on("storage down", before=lambda run: run.rig.storage.refuse(), during=until(4, lambda rig: rig.storage.accept()))


for each in OTHERS:
    rows_on(each)


# -- At once

def worked_twice(*states):
    names = ", ".join(f"'{state}'" for state in states)
    return lambda run: run.repeat_sql("UPDATE generation_live SET due_at = now(), lease_until = NULL"
                                      f" WHERE state IN ({names})", 2.5)


# So slow that the other one comes meanwhile.
row("two workers on one job", jobs=12, apart_s=0.1, members={"count": 2}, during=worked_twice("running", "storing"),
    faults={"storage_slow": {"count": -1, "delay_ms": 400, "match": PUT}})
row("webhook and poll at once", jobs=24, apart_s=0.05, during=worked_twice("running"),
    faults={"delay": {"count": -1, "delay_ms": 200, "match": "GET /replicate/v1"}})


def scramble(run):
    """Each user looks all the time; half of them cancel some time, and then want it after all."""
    def look(job):
        while run.ask(job, "GET", f"/status/{job.id}").json["status"] not in stacks.SETTLED:
            time.sleep(0.1)

    def cancel(job):
        time.sleep(random.uniform(0, 0.8))
        run.ask(job, "POST", f"/generate/{job.id}/cancel")
        look(job)
        if run.ask(job, "GET", f"/status/{job.id}").json["status"] == "canceled":
            again = [run.pool.submit(retry, job) for _ in range(2)]
            second, = {one.result() for one in again}
            run.add(job, second)

    def retry(job):
        answer = run.ask(job, "POST", f"/generate/{job.id}/retry",
                         headers={"Prefer": "respond-async", "Idempotency-Key": job.key + "-again"})
        if answer.status not in (200, 202):
            raise AssertionError(f"retry: {answer}")
        return answer.json["id"]

    for job in list(run.jobs):
        run.job(job.number)
        run.spawn(cancel if job.number % 2 else look, job)


row("64 users cancel, retry and poll", jobs=64, during=scramble, end="succeeded|canceled")
