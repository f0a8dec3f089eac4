"""What goes wrong with predictions, their outputs and the storage."""

import os
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks, test

rig = None


def setup():
    global rig
    rig = e2e.Rig().start()


# -- The prediction

@test
def predictions_that_fail():
    jobs = {word: rig.submit(f"{word} of mine") for word in ("[fail]", "[nsfw]", "[empty]", "[null]", "[html]", "[404]")}
    for word, code in (("[fail]", "provider_failed"), ("[nsfw]", "content_blocked"), ("[empty]", "no_output"),
                       ("[null]", "outputs_lost"), ("[html]", "output_type"), ("[404]", "outputs_lost")):
        end = rig.fails(jobs[word], code)
        equal(end["assets"], [], "assets of " + word)
        rig.one_prediction(jobs[word])
        equal(rig.objects(jobs[word]), [], "objects of " + word)


@test
def a_prediction_that_never_starts_ends_in_time():
    job = rig.submit("[stuck]", model="hasty")
    equal(rig.fails(job, "timeout")["started_at"], None, "started_at")
    equal(rig.one_prediction(job)["status"], "aborted", "status at the provider")


@test
def a_prediction_that_never_ends_is_ended():
    job = rig.submit("[endless]", model="hasty")
    rig.fails(job, "timeout")
    equal(rig.one_prediction(job)["status"], "canceled", "status at the provider")


@test
def a_status_that_nobody_knows():
    rig.set_sim(processing_ms=1500)
    rig.faults(webhook_lost={"count": -1, "match": "[odd]"})
    try:
        job = rig.submit("[odd]")
        rig.wait_state(job, "running")
        stacks.wait_for(lambda: [e for e in rig.gengate.events("job.step_failed") if e["job"] == job["id"]], 10, "log")
        equal(rig.state(job), "running", "state")
        e2e.check_asset(rig, rig.succeeds(job)["assets"][0])
        why = {e["error"] for e in rig.gengate.events("job.step_failed") if e["job"] == job["id"]}
        equal(why, {"dreaming"}, "what was logged")
    finally:
        rig.faults(webhook_lost=0)
        rig.set_sim(processing_ms=100)


@test
def outputs_of_every_shape():
    jobs = {word: rig.submit(word) for word in ("[string]", "[object]", "[data]")}
    for word, job in jobs.items():
        end = rig.succeeds(job)
        check(len(end["assets"]) >= 1, "no assets")
        for index, asset in enumerate(end["assets"]):
            e2e.check_asset(rig, asset, index)
        equal(len(rig.objects(job)), len(end["assets"]), "objects of " + word)


@test
def a_video_is_kept():
    job = rig.submit("[video]")
    asset = rig.succeeds(job)["assets"][0]
    answer = rig.http("GET", asset["url"])
    equal((asset["content_type"], answer.header("Content-Type")), ("video/mp4", "video/mp4"), "content type")
    equal(asset["bytes"], len(answer.body), "bytes")
    check(asset["url"].endswith(".mp4"), asset["url"])


# -- The outputs

@test
def nothing_is_fetched_from_elsewhere():
    before = rig.counters()["deliveries"]
    job = rig.submit("[foreign]")
    end = rig.fails(job, "outputs_lost")
    equal(end["assets"], [], "assets")
    equal(rig.counters()["deliveries"], before, "fetches")
    why = [e["error"] for e in rig.gengate.events("job.step_failed") if e["job"] == job["id"]]
    check(why and all("not fetched from" in text for text in why), f"not for its host: {why}")


@test
def one_lost_output_does_not_take_the_others_along():
    rig.faults(delivery_404={"count": -1, "match": "out-1"})
    job = rig.submit("one of three", count=3)
    end = rig.fails(job, "outputs_lost")
    check(4 <= rig.taken("delivery_404") <= 8, f"asked for {rig.taken('delivery_404')} times")
    rig.faults(delivery_404=0)
    equal([asset["index"] for asset in end["assets"]], [0, 2], "what was kept")
    for asset in end["assets"]:
        e2e.check_asset(rig, asset, asset["index"])
    equal(len(rig.objects(job)), 2, "objects")


@test
def a_stumbling_delivery_is_tried_again():
    for fault, count in (("delivery_500", 1), ("delivery_cut", 1), ("delivery_404", 3)):
        before = rig.taken(fault)
        rig.faults(**{fault: count})
        job = rig.submit(fault)
        e2e.check_asset(rig, rig.succeeds(job)["assets"][0])
        equal(rig.taken(fault) - before, count, fault)
        equal(len(rig.objects(job)), 1, "objects")


@test
def outputs_are_fetched_at_once():
    rig.faults(delivery_slow={"count": 3, "delay_ms": 2000})
    job = rig.submit("three at once", count=3)
    began = time.monotonic()
    equal(len(rig.succeeds(job)["assets"]), 3, "assets")
    check(time.monotonic() - began < 5, "one after the other")
    equal(rig.taken("delivery_slow"), 3, "slow ones")


KINDS = {
    "nothing": b"",
    "one byte": b"\x89",
    "HTML": b"<!DOCTYPE html><html><script>alert(1)</script></html>",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "SVG with a prolog": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
    "text": b"a fine picture, believe me",
    "JSON": b'{"error": "no picture"}',
    "JavaScript": b"alert(document.cookie)",
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "ZIP": b"PK\x03\x04\x14\0\0\0\x08\0",
    "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
    "a program": b"\x7fELF\x02\x01\x01\0",
    "BMP": b"BM" + struct.pack("<IHHI", 70, 0, 0, 54) + bytes(56),
    "TIFF": b"II*\0\x08\0\0\0" + bytes(8),
    "ICO": b"\0\0\x01\0\x01\0\x10\x10" + bytes(20),
    "MP3": b"ID3\x04\0\0\0\0\0\0" + bytes(20),
    "WAV": b"RIFF\x24\0\0\0WAVEfmt " + bytes(24),
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(20),
    "PNG of its head only": b"\x89PNG\r\n\x1a\n",
    "PNG of no width": b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + struct.pack(">II", 0, 5) + b"\x08\x02\0\0\0" + bytes(4),
    "HTML behind a blank": b" \n<html>",
}


@test
def what_is_no_picture_is_not_kept():
    jobs = {kind: rig.submit(f"{kind} [bytes {data.hex()}]") for kind, data in KINDS.items()}
    for kind, job in jobs.items():
        try:
            end = rig.fails(job, "output_type")
        except Exception as e:
            raise AssertionError(f"{kind}: {e}")
        equal(end["assets"], [], "assets: " + kind)
        equal(rig.objects(job), [], "objects: " + kind)


# -- The storage

@test
def a_stumbling_storage_is_tried_again():
    for fault, count in (("storage_500", 2), ("storage_403", 1), ("storage_html_502", 1),
                         ("storage_drop_before", 1), ("storage_drop_after", 1)):
        taken = rig.taken(fault)
        rig.faults(**{fault: {"count": count, "match": "POST"}})
        job = rig.submit(fault)
        e2e.check_asset(rig, rig.succeeds(job)["assets"][0])
        equal(rig.taken(fault) - taken, count, fault)
        equal(len(rig.objects(job)), 1, "objects")
        rig.one_prediction(job)


@test
def a_status_call_that_fails_is_repeated():
    rig.faults(webhook_lost={"count": -1, "match": "no news"}, get_500=2, get_404=1)
    job = rig.submit("no news")
    rig.succeeds(job)
    equal((rig.taken("get_500"), rig.taken("get_404")), (2, 1), "failures")
    rig.faults(webhook_lost=0)


@test
def nothing_is_left_in_flight():
    equal(rig.sql("SELECT * FROM generation_live"), [], "live rows")
    counters = rig.counters()
    equal(counters["deliveries_with_auth"], 0, "fetches with our token")
    # An upload whose answer was lost is there already the next time.
    equal(counters["uploads"], counters["objects"], "objects written once")


@test
def logs_are_clean():
    # delivery_cut
    e2e.check_logs(rig, r"prematurely closed FastCGI request.*sim\.sock")


e2e.main(setup, lambda: rig and rig.stop())
