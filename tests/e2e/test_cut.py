"""Connections to PostgreSQL that are cut after a commit, before its answer: every
statement that gengate sends again has to know its own work."""

import os
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import equal, stacks, test

rig = None
proxy = None


class Proxy:
    """Between gengate and PostgreSQL.  cut(words): the next message that holds all of them is
    handed on, its answer is thrown away, and the connection is cut."""

    def __init__(self, path, server):
        self.server = server
        self.words = None
        self.cuts = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, *words):
        self.cuts = 0
        self.words = [word.encode() for word in words]

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.server)
        silent = threading.Event()
        threading.Thread(target=self._back, args=(server, client, silent), daemon=True).start()
        while data := self._receive(client):
            words = self.words
            if words and all(word in data for word in words):
                self.words = None
                silent.set()
            server.sendall(data)
        self._shut(server)

    def _back(self, server, client, silent):
        while data := self._receive(server):
            # The answer: what it answers is committed.
            if silent.is_set():
                self.cuts += 1
                break
            client.sendall(data)
        self._shut(client)
        self._shut(server)

    @staticmethod
    def _receive(s):
        try:
            return s.recv(65536)
        except OSError:
            return b""

    @staticmethod
    def _shut(s):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def setup():
    global rig, proxy
    rig = e2e.Rig()
    folder = os.path.join(rig.dir, "cut")
    os.mkdir(folder)
    proxy = Proxy(os.path.join(folder, os.path.basename(rig.database_socket)), rig.database_socket)
    rig.configure(database_url=rig.config["database_url"].replace(
        stacks.urllib.parse.quote(rig.pg_dir, safe=""), stacks.urllib.parse.quote(folder, safe="")))
    rig.start()


@test
def a_claim_whose_answer_was_lost():
    """It knows its own lease: nobody waits for the end of one that nobody has."""
    rig.configure(lease="60s")
    rig.gengate.restart()
    rig.wait_ready()
    try:
        for statement in ("claim_job", "claim_due"):
            rig.succeeds(rig.submit("before"))
            proxy.cut(CLAIMS[statement] if rig.with_pooler else statement)
            job = rig.submit(f"the answer to {statement} was lost")
            rig.succeeds(job)
            equal(len(rig.predictions(job)), 1, "predictions")
            stacks.wait_for(lambda: proxy.cuts == 1, 10, "a cut")
    finally:
        rig.configure(lease="4s")
        rig.gengate.restart()
        rig.wait_ready()


# Of the text of a statement that is sent without a name.
UNNAMED = {
    "create_job": "from public.create_job(",
    "job_move": "moved_by = $16",
    "asset_stored": "set storage_key = $4",
    "job_settle": "delete from public.generation_live",
}


CLAIMS = {"claim_job": "or leased_by = $4::bigint)\n\t\tand due_at <= now()", "claim_due": "state = any($1::text[])"}


def ends_well(what, statement, *words):
    # Prepared on every connection, so that what is cut is the statement itself.
    rig.succeeds(rig.submit("before"))
    proxy.cut(UNNAMED[statement] if rig.with_pooler else statement, *words)
    job = rig.submit(what)
    rig.succeeds(job)
    equal(proxy.cuts, 1, "cuts")
    equal(len(rig.predictions(job)), 1, "predictions")
    equal(rig.sql_value(f"SELECT count(*) FROM generation_jobs WHERE id = '{job['id']}'"), "1", "jobs")
    trail = rig.trail(job)
    for event in ("created", "submitting", "accepted", "stored"):
        equal(trail.count(event), 1, f"times that {event} is in the trail {trail}")


@test
def the_jobs_creation():
    ends_well("the answer to create_job() was lost", "create_job", "the answer to create_job")


@test
def the_move_to_submitting():
    # Committed, and unknown to who would send: it is sent, and once.
    ends_well("the answer to the move was lost", "job_move", "submitting")


@test
def the_move_to_running():
    ends_well("the answer to accepted was lost", "job_move", "accepted")


@test
def the_outputs_record():
    ends_well("the answer to stored was lost", "asset_stored")


@test
def the_end():
    ends_well("the answer to the settlement was lost", "job_settle")


e2e.main(setup, lambda: rig and rig.stop())
