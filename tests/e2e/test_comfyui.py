"""Jobs of ComfyUI: a graph from the profile with the request's fields in it, under an id that we
choose, so that a create without an answer is found by it."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, test
from provider_rig import ProviderRig


def workflow(**more):
    """As ComfyUI exports a text-to-image graph for its API."""
    return {"3": {"class_type": "KSampler",
                  "inputs": {"seed": "$seed", "steps": 20, "cfg": 8, "sampler_name": "euler", "scheduler": "normal",
                             "denoise": 1, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0],
                             "latent_image": ["5", 0]}},
            "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sim.safetensors"}},
            "5": {"class_type": "EmptyLatentImage",
                  "inputs": {"width": "$width", "height": "$height", "batch_size": "$count"}},
            "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "$prompt", "clip": ["4", 1]}},
            "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurred", "clip": ["4", 1]}},
            "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
            "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "gengate", "images": ["8", 0]}},
            **more}


rig = None


def setup():
    global rig
    broken = workflow(**{"9": {"class_type": "SaveMissingImage", "inputs": {}}})
    rig = ProviderRig("comfyui", {"painter": {"workflow": workflow()}, "broken": {"workflow": broken}}).start()


def cancel(job):
    rig.http("POST", f"/generate/{job['id']}/cancel", user=job["user"])
    equal(rig.settled(job)["status"], "canceled", "status")
    equal(rig.made(job)["status"], "canceled", "status there")


@test
def a_picture_arrives():
    job = rig.submit("a fox", width=96, height=64, seed=7)
    made = rig.arrives(job)
    equal(made["id"], job["id"], "the id there")
    equal(made["input"]["prompt"], workflow(**{
        "3": {**workflow()["3"], "inputs": {**workflow()["3"]["inputs"], "seed": 7}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 96, "height": 64}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["4", 1]}}}), "the graph")


@test
def several_pictures_arrive():
    rig.arrives(rig.submit("three foxes", count=3, width=64, height=64), n=3)


@test
def who_asks_for_no_seed_gets_one_of_the_jobs_own():
    seeds = {rig.arrives(rig.submit("the same"))["input"]["prompt"]["3"]["inputs"]["seed"] for _ in range(3)}
    equal(len(seeds), 3, "seeds")


@test
def a_word_that_nobody_knows_is_no_end():
    rig.arrives(rig.submit("[odd]"))


@test
def failures_are_told_apart():
    rig.fails(rig.submit("[fail]"), "provider_failed")
    rig.fails(rig.submit("[empty]"), "no_output")
    rig.fails(rig.submit("[null]"), "no_output")
    rig.fails(rig.submit("no such node", model="broken"), "provider_rejected")


@test
def what_waits_can_be_canceled():
    job = rig.submit("[stuck]")
    rig.wait_state(job, "running")
    cancel(job)
    equal(rig.trail(job)[-2:], ["cancel_asked", "observed"], "what came last")


@test
def what_runs_can_be_canceled():
    job = rig.submit("[endless]")
    e2e.stacks.wait_for(lambda: rig.status(job) == "processing", 10, "that it runs")
    cancel(job)


@test
def a_cancel_without_an_answer():
    rig.faults(cancel_drop_after=1)
    job = rig.submit("[stuck] for long")
    rig.wait_state(job, "running")
    cancel(job)


@test
def an_answer_that_was_lost():
    for fault in ("create_500_after", "create_drop_after", "create_cut"):
        rig.faults(**{fault: {"count": 1, "match": fault}})
        job = rig.submit(fault)
        rig.arrives(job)
        check("found" in rig.trail(job), f"trail: {rig.trail(job)}")


@test
def a_create_that_never_was():
    rig.faults(create_drop_before={"count": 1, "match": "lost on the way"})
    job = rig.submit("lost on the way")
    rig.arrives(job)
    equal(rig.trail(job).count("not_there"), 1, "times that it was not there")


@test
def killed_during_the_create():
    job = rig.kill_during_create("never answered")
    rig.arrives(job)
    check("found" in rig.trail(job), f"trail: {rig.trail(job)}")


@test
def outputs_may_want_the_key():
    rig.set_sim(comfyui_key="sim-comfyui-key")
    rig.configure(comfyui_key="sim-comfyui-key", output_hosts=None)
    rig.gengate.restart()
    rig.wait_ready()
    try:
        rig.arrives(rig.submit("behind a proxy"))
    finally:
        rig.set_sim(comfyui_key="")


e2e.main(setup, lambda: rig and rig.stop())
