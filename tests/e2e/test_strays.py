"""A second prediction for one job: ended at the provider if its own record names the job,
left alone if not; whichever road told of it, whatever state the job is in."""

import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

rig = None


def setup():
    global rig
    rig = e2e.Rig(config={"uncertain_grace": "500ms"}).start()
    rig.set_sim(slow_ms=8000)


def second(job, prompt="[endless] a stray", webhook=None, **headers):
    """Another prediction that names this job, made at the provider; its id."""
    answer = rig.http("POST", "/replicate/v1/models/sim/painter/predictions", headers={
        "Authorization": f"Bearer {rig.config['replicate_token']}", **headers},
        json={"input": {"prompt": prompt}, "webhook": webhook or rig.one_prediction(job)["webhook"],
              "webhook_events_filter": ["start", "completed"]})
    equal(answer.status, 201, "a second prediction")
    return answer.json["id"]


def at_provider(prediction):
    return next(p for p in rig.sim_call("GET", "state")["predictions"] if p["id"] == prediction)["status"]


def verdict(prediction):
    return rig.sql_value("SELECT verdict FROM generation_strays"
                         f" WHERE prediction_id = '{prediction}' AND ended_at IS NOT NULL")


def wait_verdict(prediction, wanted):
    stacks.wait_for(lambda: verdict(prediction), 20, f"an end of the stray {prediction}")
    equal(verdict(prediction), wanted, "verdict")


def metric(outcome):
    text = rig.http("GET", "/metrics").text
    line = next(line for line in text.splitlines()
                if line.startswith("gengate_strays_total{") and f'outcome="{outcome}"' in line)
    return int(line.rpartition(" ")[2])


def running(prompt="[slow] a real one"):
    job = rig.submit(prompt)
    rig.wait_state(job, "running")
    return job


def cancel(job):
    rig.http("POST", f"/generate/{job['id']}/cancel", user=job["user"])
    return rig.settled(job)


@test
def a_list_that_lags_beyond_the_grace():
    rig.set_sim(list_lag_ms=600000)
    rig.faults(create_drop_after={"count": 1, "match": "paid twice"},
               webhook_late={"count": 1, "delay_ms": 4000, "match": "paid twice"})
    found, canceled = metric("found"), metric("canceled")
    before = rig.counters()
    job = rig.submit("[slow] paid twice")
    end = rig.succeeds(job)
    e2e.check_asset(rig, end["assets"][0])
    made = rig.predictions(job)
    equal([p["status"] for p in made], ["canceled", "succeeded"], "predictions, the first first")
    wait_verdict(made[0]["id"], "canceled")
    equal(rig.counters()["canceled"] - before["canceled"], 1, "canceled at the provider")
    stacks.wait_for(lambda: "stray_canceled" in rig.trail(job), 5, "the trail")
    trail = rig.trail(job)
    equal((trail.count("stray_found"), trail.count("stray_canceled")), (1, 1), f"in the trail {trail}")
    equal((metric("found") - found, metric("canceled") - canceled), (1, 1), "counted")
    rig.set_sim(list_lag_ms=0)


@test
def two_on_one_list():
    rig.faults(create_drop_after={"count": 2, "match": "twice listed"},
               webhook_lost={"count": -1, "match": "twice listed"})
    rig.set_sim(list_lag_ms=600000)
    job = rig.submit("[slow] twice listed")
    stacks.wait_for(lambda: len(rig.predictions(job)) == 2, 15, "two creates")
    rig.set_sim(list_lag_ms=0)
    rig.succeeds(job)
    made = rig.predictions(job)
    equal([p["status"] for p in made], ["succeeded", "canceled"], "predictions, the first first")
    wait_verdict(made[1]["id"], "canceled")
    rig.faults(webhook_lost=0)


@test
def beside_a_running_job():
    job = running()
    stray = second(job)
    wait_verdict(stray, "canceled")
    equal(at_provider(stray), "canceled", "at the provider")
    rig.succeeds(job)


@test
def of_a_job_that_has_settled():
    job = running()
    url = rig.one_prediction(job)["webhook"]
    for end in (cancel, rig.succeeds):
        equal(end(job)["status"] in stacks.SETTLED, True, "it has ended")
        rows = rig.rows(job, trail=False)
        stray = second(job, webhook=url)
        wait_verdict(stray, "canceled")
        equal(at_provider(stray), "canceled", "at the provider")
        equal(rig.rows(job, trail=False), rows, "rows")
        job = rig.submit("quick")
        rig.succeeds(job)
        url = rig.one_prediction(job)["webhook"]


@test
def of_a_job_that_has_been_deleted():
    job = rig.submit("soon deleted")
    rig.succeeds(job)
    rig.faults(get_500=-1)
    stray = second(job)
    row = f"SELECT 1 FROM generation_strays WHERE prediction_id = '{stray}'"
    stacks.wait_for(lambda: rig.sql(row), 10, "its row")
    equal(rig.http("DELETE", f"/generate/{job['id']}", user=job["user"]).status, 204, "DELETE")
    rig.faults(get_500=0)
    stacks.wait_for(lambda: not rig.sql(row), 20, "the end of its row")
    equal(at_provider(stray), "canceled", "at the provider")


@test
def one_that_ended_before_we_came():
    job = running()
    rig.faults(webhook_late={"count": 1, "delay_ms": 2000, "match": "quick stray"})
    stray = second(job, prompt="quick stray")
    wait_verdict(stray, "ended")
    equal(at_provider(stray), "succeeded", "at the provider")
    equal(len(rig.succeeds(job)["assets"]), 1, "assets")


@test
def one_that_cannot_be_asked_about_is_left():
    job = rig.submit("at another provider, too")
    rig.succeeds(job)
    rig.sql("INSERT INTO generation_strays (owner_id, job_id, prediction_id, provider, road)"
            f" SELECT owner_id, id, 'late', 'openai', 'reply' FROM generation_jobs WHERE id = '{job['id']}'")
    wait_verdict("late", "left")
    stacks.wait_for(lambda: "stray_left" in rig.trail(job), 5, "the trail")


@test
def a_cancel_that_is_not_heard_is_repeated():
    job = running()
    rig.faults(cancel_500=2)
    stray = second(job)
    wait_verdict(stray, "canceled")
    equal(rig.taken("cancel_500") >= 2, True, "cancels that failed")
    rig.succeeds(job)


@test
def the_row_outlives_us():
    """The webhook was answered: it does not come again."""
    job = running("[endless] outlived")
    rig.faults(get_500=-1)
    stray = second(job)
    stacks.wait_for(lambda: rig.sql(f"SELECT 1 FROM generation_strays WHERE prediction_id = '{stray}'"), 10, "its row")
    rig.gengate.kill()
    rig.faults(get_500=0)
    rig.gengate.start()
    rig.wait_ready()
    wait_verdict(stray, "canceled")
    equal(cancel(job)["status"], "canceled", "status")


@test
def another_jobs_webhook_moves_nothing():
    ours, theirs = running("[endless] ours"), running("[endless] theirs")
    for job in (ours, theirs):
        rig.wait_status(job["id"], ("processing",), user=job["user"])
    prediction = rig.one_prediction(theirs)["id"]
    before = rig.counters()["canceled"]
    rows = rig.rows(ours, trail=False)
    for status in ("processing", "succeeded", "failed", "canceled"):
        answer = rig.webhook(rig.webhook_path(ours), {"id": prediction, "status": status, "output": ["https://x/1"],
                                                      "error": "x"}, delivery=f"msg_foreign_{status}")
        equal(answer.status, 200, "status")
    wait_verdict(prediction, "foreign")
    equal(rig.rows(ours, trail=False), rows, "rows")
    equal((rig.state(ours), rig.state(theirs)), ("running", "running"), "states")
    equal(rig.counters()["canceled"], before, "canceled at the provider")
    check("stray_foreign" in rig.trail(ours), f"trail: {rig.trail(ours)}")
    for job in (ours, theirs):
        equal(cancel(job)["status"], "canceled", "status")


@test
def another_jobs_webhook_is_no_hint():
    """Nor while it is not known what became of the create."""
    theirs = running("[endless] of another")
    rig.faults(create_drop_after={"count": 1, "match": "mistaken"}, webhook_lost={"count": -1, "match": "mistaken"})
    rig.set_sim(list_lag_ms=600000)
    rig.configure(uncertain_grace="60s")
    rig.gengate.restart()
    rig.wait_ready()
    try:
        job = rig.submit("mistaken")
        rig.wait_state(job, "uncertain")
        equal(rig.webhook(rig.webhook_path(job), {"id": rig.one_prediction(theirs)["id"], "status": "processing"},
                          delivery="msg_mistaken").status, 200, "status")
        rig.set_sim(list_lag_ms=0)
        e2e.check_asset(rig, rig.succeeds(job)["assets"][0])
        rig.one_prediction(job)
        equal(rig.state(theirs), "running", "state of the other")
        wait_verdict(rig.one_prediction(theirs)["id"], "foreign")
    finally:
        rig.configure(uncertain_grace="500ms")
        rig.set_sim(list_lag_ms=0)
        rig.faults(webhook_lost=0)
        rig.gengate.restart()
        rig.wait_ready()
    equal(cancel(theirs)["status"], "canceled", "status")


@test
def all_hints_are_looked_at():
    """A wrong one first, and then the right one, while nothing else tells."""
    theirs = running("[endless] a wrong one")
    rig.faults(create_drop_after={"count": 1, "match": "the second hint"},
               webhook_late={"count": -1, "delay_ms": 2000, "match": "the second hint"})
    rig.set_sim(list_lag_ms=600000)
    rig.configure(uncertain_grace="60s")
    rig.gengate.restart()
    rig.wait_ready()
    try:
        job = rig.submit("the second hint")
        rig.wait_state(job, "uncertain")
        equal(rig.webhook(rig.webhook_path(job), {"id": rig.one_prediction(theirs)["id"], "status": "processing"},
                          delivery="msg_wrong").status, 200, "status")
        e2e.check_asset(rig, rig.succeeds(job)["assets"][0])
        rig.one_prediction(job)
    finally:
        rig.configure(uncertain_grace="500ms")
        rig.set_sim(list_lag_ms=0)
        rig.faults(webhook_late=0)
        rig.gengate.restart()
        rig.wait_ready()
    equal(cancel(theirs)["status"], "canceled", "status")


@test
def webhooks_in_any_order_and_at_once():
    """From eight threads: own ones of all kinds, again and again, while polls go on."""
    job = running("[slow] in any order")
    made = rig.one_prediction(job)
    path = rig.webhook_path(job)
    statuses = []

    def send(n):
        for k in range(10):
            body = {"id": made["id"], "status": ("starting", "processing")[(n + k) % 2]}
            statuses.append(rig.webhook(path, body, delivery=f"msg_order_{(n * 10 + k) % 23}").status)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(set(statuses), {200}, "statuses")
    e2e.check_asset(rig, rig.succeeds(job)["assets"][0])
    equal(rig.sql_value("SELECT count(*) - count(DISTINCT delivery) FROM generation_events"
                        f" WHERE job_id = '{job['id']}' AND delivery IS NOT NULL"), "0", "deliveries noted twice")
    equal(rig.trail(job).count("stored"), 1, "ends")


@test
def nothing_is_left():
    equal(rig.sql("SELECT * FROM generation_live"), [], "live rows")
    stacks.wait_for(lambda: not rig.sql("SELECT * FROM generation_strays WHERE ended_at IS NULL"), 15,
                    "an end of all strays")


@test
def logs_are_clean():
    e2e.check_logs(rig, r"connect\(\) to unix:.*/g0\.sock failed", r"prematurely closed connection.*/g0\.sock",
                   r"recv\(\) failed.*/g0\.sock", r"no live upstreams")


e2e.main(setup, lambda: rig and rig.stop())
