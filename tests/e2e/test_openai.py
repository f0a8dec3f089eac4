"""Jobs of OpenAI's Images API and of servers that imitate it: a create is answered when the
pictures are there, and what became of one without an answer nobody can tell."""

import os
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, test
from provider_rig import ProviderRig

INPUT = {"prompt": "$prompt", "n": "$count", "size": ["$width", "$height"], "images": "$inputs"}

rig = None


def setup():
    global rig
    rig = ProviderRig("openai", {"painter": {"model": "gpt-image-1", "input": INPUT},
                                 "dalle": {"model": "dall-e-3", "input": {"prompt": "$prompt"}},
                                 "local": {"input": {**INPUT, "step": 20, "response_format": "url"}}},
                      config={"job_timeout": "30s"}).start()


def strictly(yes):
    """As the vendor, or as a local server, which takes what it does not know."""
    rig.set_sim(openai_strict=int(yes))


@test
def a_picture_arrives():
    made = rig.arrives(rig.submit("a fox"))
    equal((made["form"], made["input"]), ("generations", {"prompt": "a fox", "model": "gpt-image-1"}),
          "what was asked for: no response_format")


@test
def several_pictures_of_a_size_arrive():
    made = rig.arrives(rig.submit("foxes", count=3, width=1024, height=1536), n=3)
    equal((made["input"]["n"], made["input"]["size"]), (3, "1024x1536"), "number and size")


@test
def pictures_arrive_by_url():
    rig.arrives(rig.submit("by url", model="dalle"))


@test
def a_local_server_may_leave_out_its_address():
    strictly(False)
    rig.set_sim(openai_relative_urls=1)
    try:
        made = rig.arrives(rig.submit("locally", model="local", width=64, height=64))
        equal(made["input"], {"prompt": "locally", "size": "64x64", "step": 20, "response_format": "url"},
              "the profile's own members")
    finally:
        strictly(True)
        rig.set_sim(openai_relative_urls=0)


@test
def with_an_input_it_is_an_edit():
    made = rig.arrives(rig.submit("with a hat", inputs=["https://pictures.example/fox.png"]))
    equal((made["form"], made["input"]["images"]), ("edits", [{"image_url": "https://pictures.example/fox.png"}]),
          "what was asked for")


@test
def params_choose_no_model_and_fetch_nothing():
    elsewhere = {"model": "gpt-image-1", "n": 4, "images": ["https://10.0.0.1/"], "file": "http://10.0.0.1/"}
    made = rig.arrives(rig.submit("as hd", model="dalle", params={"quality": "hd", **elsewhere}))
    equal((made["form"], made["input"]), ("generations", {"prompt": "as hd", "model": "dall-e-3", "quality": "hd"}),
          "what was asked for")


@test
def no_job_waits_for_another():
    rig.set_sim(processing_ms=1500)
    try:
        jobs = [rig.submit(f"slowly {n}") for n in range(3)]
        e2e.stacks.wait_for(lambda: all(len(rig.predictions(job)) == 1 for job in jobs), 10, "three creates")
        equal([rig.state(job) for job in jobs], ["submitting"] * 3, "states meanwhile")
        for job in jobs:
            rig.arrives(job)
    finally:
        rig.set_sim(processing_ms=100)


@test
def refusals_are_told_apart():
    rig.fails(rig.submit("[nsfw]"), "content_blocked")
    rig.fails(rig.submit("[empty]"), "no_output")
    rig.faults(create_422={"count": 1, "match": "not taken"})
    rig.fails(rig.submit("not taken"), "provider_rejected")


@test
def who_waits_for_the_answer_hears_what_is_not_allowed():
    for path, body in (("/generate", {"prompt": "[nsfw] shown"}), (None, None)):
        answer = rig.http("POST", path or f"/generate/{job}/retry", user="ann", json=body)
        job = e2e.check_problem(answer, 422, "content_blocked")["job"]["id"]


@test
def who_is_too_quick_comes_back():
    rig.faults(create_429={"count": 1, "match": "too quick", "retry_after": 1})
    job = rig.submit("too quick")
    rig.arrives(job)
    check("deferred" in rig.trail(job), f"trail: {rig.trail(job)}")


@test
def without_credit_nothing_is_sent_again():
    rig.faults(create_429={"count": 1, "match": "no credit", "variant": "quota"})
    rig.fails(rig.submit("no credit"), "provider_unavailable")
    rig.gengate_command("provider", "resume", "openai")
    e2e.stacks.wait_for(lambda: "reasons" not in rig.http("GET", "/readyz").json, 10, "that it goes on")


@test
def an_answer_that_was_lost():
    for fault in ("create_500_after", "create_drop_after"):
        rig.faults(**{fault: {"count": 1, "match": fault}})
        rig.stays_unknown(rig.submit(fault, model="hasty"))


@test
def killed_during_the_create():
    rig.stays_unknown(rig.kill_during_create("never answered", model="hasty"))


@test
def a_stop_asks_for_the_time_of_a_create():
    """Of the service manager, which would end us after a minute."""
    path, env = os.path.join(rig.dir, "notify"), rig.gengate.env
    rig.configure(job_timeout="10m", openai_timeout="7m")
    rig.set_sim(processing_ms=3000)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(10)
        rig.gengate.env = lambda: {**env(), "NOTIFY_SOCKET": path}
        try:
            rig.gengate.restart()
            rig.wait_ready()
            job = rig.submit("to the end")
            e2e.stacks.wait_for(lambda: rig.predictions(job), 10, "the create")
            rig.gengate.stop()
            name, _, usec = manager.recv(1000).decode().partition("=")
            equal(name, "EXTEND_TIMEOUT_USEC", "message")
            check(420e6 < int(usec) < 480e6, f"time: {usec}")
        finally:
            rig.gengate.env = env
            rig.configure(job_timeout="30s", openai_timeout=None)
            rig.set_sim(processing_ms=100)
            rig.gengate.start()
            rig.wait_ready()
    rig.arrives(job)
    equal(rig.trail(job).count("submitting"), 1, "creates in the trail")


@test
def a_cancel_before_anything_was_sent():
    rig.faults(create_429={"count": 1, "match": "not yet", "retry_after": 20})
    job = rig.submit("not yet")
    e2e.stacks.wait_for(lambda: "deferred" in rig.trail(job), 10, "that it waits")
    rig.http("POST", f"/generate/{job['id']}/cancel", user=job["user"])
    equal(rig.settled(job)["status"], "canceled", "status")
    equal(rig.predictions(job), [], "predictions")


e2e.main(setup, lambda: rig and rig.stop())
