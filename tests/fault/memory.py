"""A gengate's allocations, seen and made to fail from outside: the page that base/mem_fault.h describes."""

import mmap
import struct

FIELDS = ("outstanding", "allocations", "failures", "countdown", "once", "failing", "each_place", "spacing_us",
          "last_us", "places")


class Memory:
    """Of one process; its page outlives it."""

    def __init__(self, path):
        with open(path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 8 * len(FIELDS))

    def __getitem__(self, name):
        return struct.unpack_from("q", self.page, 8 * FIELDS.index(name))[0]

    def __setitem__(self, name, value):
        struct.pack_into("q", self.page, 8 * FIELDS.index(name), value)

    def fail_nth(self, n):
        """The n-th allocation from now, counted from 0, fails; no other."""
        self["once"] = 1
        self["countdown"] = n

    def fail_each_place(self, spacing_s):
        """Each chain of callers that allocates fails once, and none so soon after another."""
        self["spacing_us"] = int(spacing_s * 1e6)
        self["each_place"] = 1

    def fail_all(self):
        self["failing"] = 1

    def restore(self):
        self["each_place"] = self["failing"] = 0
        self["countdown"] = -1

