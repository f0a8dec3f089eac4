"""The providers beside Replicate, for rows that each of them has: a Rig whose jobs they get,
and what is known there of a create whose answer was lost."""

import dataclasses
import json

from fault import Rig, stacks


@dataclasses.dataclass
class Other:
    """A provider."""
    name: str
    part: dict              # of a model's profile
    tells: str              # of a lost create: "webhook" or "id", by which it is found; "" for nothing
    config: dict = dataclasses.field(default_factory=dict)
    fetches_keys: bool = False      # before it may ask for webhooks

    @property
    def has_webhooks(self):
        return self.tells == "webhook"


OTHERS = [
    Other("fal", {"model": "sim/painter", "input": {"prompt": "$prompt"}}, "webhook", fetches_keys=True),
    Other("bfl", {"model": "flux-pro-1.1", "input": {"prompt": "$prompt"}}, "webhook",
          {"bfl_webhook_secret": "a-secret-between-the-two-of-us"}),
    Other("openai", {"model": "gpt-image-1", "input": {"prompt": "$prompt"}}, ""),
    Other("sdcpp", {"input": {"prompt": "$prompt"}}, ""),
    Other("comfyui", {"workflow": {
        "1": {"class_type": "CLIPTextEncode", "inputs": {"text": "$prompt"}},
        "2": {"class_type": "KSampler", "inputs": {"positive": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}}}}, "id"),
]


class OnProvider(Rig):
    """Two gengates whose jobs go to another provider, and a storage that can be cut off."""

    def __init__(self, other):
        super().__init__(storage_pipe=True)
        self.other = other
        self.configure(provider=other.name, replicate_token=None, replicate_webhook_secret=None, **other.config,
                       **self.simulated(other.name))

    def write_models(self):
        pass    # by start(): only then it is known whose they are

    def start(self):
        profiles = {name: {"limits": {"count": 4}, "timeout": timeout, "on": {self.other.name: self.other.part}}
                    for name, timeout in (("painter", "60s"), ("brisk", "8s"), ("hasty", "5s"))}
        with open(self.config["models_file"], "w", encoding="utf-8") as f:
            json.dump(profiles, f)
        return super().start()

    def fresh(self):
        super().fresh()
        if self.other.fetches_keys:
            stacks.wait_for(lambda: all(self._knows_keys(part) for part in self.gengates), 30,
                            f"that all know {self.other.name}'s keys")

    @staticmethod
    def _knows_keys(part):
        """As often as it was started."""
        return len(part.events("webhook_verifier.known")) >= len(part.events("server.ready"))
