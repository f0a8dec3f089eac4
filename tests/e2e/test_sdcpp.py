"""Jobs of a server of stable-diffusion.cpp: it is polled, outputs come inside its answers, and
what runs cannot always be canceled."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import equal, test
from provider_rig import ProviderRig

INPUT = {"prompt": "$prompt", "negative_prompt": "$negative_prompt", "width": "$width", "height": "$height",
         "seed": "$seed", "batch_count": "$count"}

rig = None


def setup():
    global rig
    rig = ProviderRig("sdcpp", {"painter": {"input": INPUT},
                                "film": {"mode": "vid_gen", "input": {"prompt": "$prompt"}}}).start()


@test
def a_picture_arrives():
    made = rig.arrives(rig.submit("a fox", width=96, height=64, seed=7))
    equal((made["form"], made["input"]), ("img_gen", {"prompt": "a fox", "width": 96, "height": 64, "seed": 7}),
          "what was asked for")


@test
def several_pictures_arrive():
    rig.arrives(rig.submit("three foxes", count=3, width=64, height=64), n=3)


@test
def a_video_arrives():
    equal(rig.arrives(rig.submit("a fox runs", model="film"))["form"], "vid_gen", "form")


@test
def a_word_that_nobody_knows_is_no_end():
    rig.arrives(rig.submit("[odd]"))


@test
def failures_are_told_apart():
    rig.fails(rig.submit("[fail]"), "provider_failed")
    rig.fails(rig.submit("[empty]"), "no_output")
    rig.fails(rig.submit("[null]"), "no_output")
    rig.faults(create_422={"count": 1, "match": "not taken"})
    rig.fails(rig.submit("not taken"), "provider_rejected")


@test
def a_full_queue_is_waited_for():
    rig.set_sim(sdcpp_queue=1, processing_ms=1000)
    try:
        first, second = rig.submit("first"), rig.submit("second")
        rig.arrives(first)
        rig.arrives(second)
    finally:
        rig.set_sim(sdcpp_queue=100, processing_ms=100)


@test
def what_waits_can_be_canceled():
    job = rig.submit("[stuck]")
    rig.wait_state(job, "running")
    rig.http("POST", f"/generate/{job['id']}/cancel", user=job["user"])
    equal(rig.settled(job)["status"], "canceled", "status")
    equal(rig.made(job)["status"], "canceled", "status there")


@test
def what_is_gone_after_its_cancel_was_canceled():
    rig.set_sim(sdcpp_keep_ms=0)
    rig.faults(cancel_drop_after=1)
    try:
        job = rig.submit("[stuck] and then forgotten")
        rig.wait_state(job, "running")
        rig.http("POST", f"/generate/{job['id']}/cancel", user=job["user"])
        equal(rig.settled(job)["status"], "canceled", "status")
        equal(rig.taken("cancel_drop_after"), 1, "answers that were lost")
    finally:
        rig.set_sim(sdcpp_keep_ms=600000)


@test
def what_runs_may_be_finished_all_the_same():
    rig.set_sim(processing_ms=1500)
    try:
        job = rig.submit("too late")
        e2e.stacks.wait_for(lambda: rig.status(job) == "processing", 10, "that it runs")
        rig.http("POST", f"/generate/{job['id']}/cancel", user=job["user"])
        rig.arrives(job)
    finally:
        rig.set_sim(processing_ms=100)


@test
def a_job_that_was_forgotten_is_over():
    rig.set_sim(sdcpp_keep_ms=0)
    try:
        rig.fails(rig.submit("forgotten"), "provider_failed")
    finally:
        rig.set_sim(sdcpp_keep_ms=600000)


@test
def killed_during_the_create():
    rig.stays_unknown(rig.kill_during_create("never answered", model="hasty"))


@test
def a_key_is_sent_where_there_is_one():
    rig.set_sim(sdcpp_key="sim-sdcpp-key")
    rig.configure(sdcpp_key="sim-sdcpp-key")
    rig.gengate.restart()
    rig.wait_ready()
    try:
        rig.arrives(rig.submit("behind a proxy"))
    finally:
        rig.set_sim(sdcpp_key="")


e2e.main(setup, lambda: rig and rig.stop())
