"""A rig for jobs of one of the simulator's other providers, and what is asked of each of them."""

import hashlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, stacks


def roads(rig, job):
    """By which ones the provider's news of it came."""
    return [row[0] for row in rig.sql(
        f"SELECT detail->>'road' FROM generation_events WHERE job_id = '{job['id']}' AND event IN"
        " ('observed', 'heard', 'found') ORDER BY id")]


def is_kept(rig, job, asset, index=0):
    """The bytes that the simulator drew."""
    kept = e2e.check_asset(rig, asset, index)
    drawn = rig.http("GET", f"/sim/outputs/{rig.one_prediction(job)['id']}/{index}")
    equal(hashlib.sha256(kept).hexdigest(), hashlib.sha256(drawn.body).hexdigest(), "bytes")


class SlowPolls:
    """Polls that come too late to end a job, unless something makes one due."""

    def __init__(self, rig, restart=None):
        self.rig, self.restart = rig, restart or rig.gengate.restart

    def __enter__(self):
        self.rig.configure(poll_interval="60s")
        self.restart()

    def __exit__(self, *what):
        self.rig.configure(poll_interval="100ms")
        self.restart()


class ProviderRig(e2e.Rig):
    def __init__(self, provider, models, config=None, **options):
        """models: the provider's part of each profile, by the model's name; "painter" is the default.
        "hasty" is the painter with five seconds to live."""
        profiles = {name: {"limits": {"count": 4, "inputs": 4}, "on": {provider: part}}
                    for name, part in models.items()}
        profiles["hasty"] = {"timeout": "5s", "on": {provider: models["painter"]}}
        e2e.MODELS = profiles
        super().__init__(config={"provider": provider, **(config or {})}, **options)
        self.provider = provider
        self.configure(**self.simulated(provider))

    def made(self, job):
        """Of the one create that it was: what it became.  It was this provider's."""
        made = self.one_prediction(job)
        equal(made["wire"], self.provider, "wire")
        return made

    def arrives(self, job, n=1, timeout=30):
        """It succeeds, and what was made is what was kept; the prediction."""
        end = self.succeeds(job, timeout)
        made = self.made(job)
        equal((end["provider"], len(end["assets"])), (self.provider, n), "provider and assets")
        for index, asset in enumerate(end["assets"]):
            kept = self.http("GET", asset["url"])
            drawn = self.http("GET", f"/sim/outputs/{made['id']}/{index}")
            equal((kept.status, drawn.status), (200, 200), "statuses of what was kept and what was made")
            check(kept.body == drawn.body, f"output {index} is not what was made")
        return made

    def kill_during_create(self, prompt, **members):
        """The provider has it and answers late; gengate is killed meanwhile and comes back."""
        self.faults(create_late={"count": 1, "delay_ms": 3000, "match": prompt})
        before = self.counters()["predictions_created"]
        job = self.submit(prompt, **members)
        stacks.wait_for(lambda: self.counters()["predictions_created"] > before, 10, "that it was created")
        self.gengate.kill()
        self.gengate.start()
        self.wait_ready()
        return job

    def stays_unknown(self, job):
        """Nobody can tell: it is not sent again, and fails when its time is over."""
        end = self.fails(job, "outcome_unknown")
        equal(end["error"]["retryable"], False, "retryable")
        self.made(job)
        equal(self.trail(job).count("submitting"), 1, "creates in the trail")
