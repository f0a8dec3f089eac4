"""What no log, no command line and no answer may have: the secrets that a test used, and
whatever has the form of one."""

import glob
import os
import re
import threading
import urllib.parse

SECRET_NAMES = ("_token", "_key", "_secret")    # how the names of such settings end
SHORTEST = 8        # what is shorter is found everywhere
# In a log of gengate's or of the database's.  Not in nginx's: it logs requests with their
# queries, the ones to the simulator among them.
FORMS = {
    "a token of a user": re.compile(r"\beyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]{6,}"),
    "an Authorization header": re.compile(r"\bBearer +[\w.~+/=-]{6,}", re.IGNORECASE),
    "a webhook's token": re.compile(r"\bjob=[\w-]{50,}"),
    "a token of a signed URL": re.compile(r"\btoken=[\w.-]{8,}"),
    "a webhook's signature": re.compile(r"\bv1,[A-Za-z0-9+/]{43}="),
    "a webhook's secret": re.compile(r"\bwhsec_[A-Za-z0-9+/]{16,}"),
}
SIGNED_URL = re.compile(r"[?&]token=([\w.-]{%d,})" % SHORTEST)


class Leaks:
    """One for each Stack, which tells it what it configures, sends and is answered."""

    def __init__(self):
        self.lock = threading.Lock()
        self.configured = {}    # text: what it is
        self.granted = {}       # the same, of what a client has by right: no answer is searched for it
        self.answers = []       # what was found in answers

    def _add(self, known, text, what):
        if len(text) >= SHORTEST:
            with self.lock:
                known[text] = what

    def configure(self, settings):
        for name, value in settings.items():
            if value is not None and name.endswith(SECRET_NAMES):
                for text in str(value).split(","):
                    self._add(self.configured, text.strip(), name)
                    self._add(self.configured, text.strip().removeprefix("whsec_"), name)
            elif name == "database_url" and value:
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(value).query)
                self._add(self.configured, query.get("password", [""])[0], "the database's password")

    def exchange(self, sent, answer_headers, answer_body):
        """A request of a client and what gengate answered."""
        for name, value in sent.items():
            if name.lower() == "authorization":
                self._add(self.granted, value.partition(" ")[2].strip() or value, "a client's Authorization")
        text = "\n".join(f"{name}: {value}" for name, value in answer_headers)
        text += "\n" + (answer_body or b"").decode("utf-8", errors="replace")
        for token in SIGNED_URL.findall(text):
            self._add(self.granted, token, "a token of a signed URL")
        found = [f"{what} is in an answer" for secret, what in self._known(self.configured) if secret in text]
        if found:
            with self.lock:
                self.answers += found

    def _known(self, known):
        with self.lock:
            return list(known.items())

    def in_text(self, text, forms):
        found = {what for secret, what in self._known({**self.configured, **self.granted}) if secret in text}
        return found | {what for what, form in forms.items() if form.search(text)}

    def in_log(self, path):
        name = os.path.basename(path)
        with open(path, encoding="utf-8", errors="replace") as f:
            text = f.read()
        if not name.startswith("nginx-"):
            return [f"{what} is in {name}" for what in sorted(self.in_text(text, FORMS))]
        # A signed URL is fetched from the storage through the same nginx.
        return [f"{what} is in {name}" for secret, what in self._known({**self.configured, **self.granted})
                if secret in text and what != "a token of a signed URL"]

    def in_command_line(self, pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                text = f.read().decode(errors="replace")
        except OSError:
            return []
        return [f"{what} is in the command line of {pid}" for what in sorted(self.in_text(text, FORMS))]

    def find(self, log_dir, pids):
        """All that is wrong, in words.  The simulator plays the other side: its log is not searched."""
        found = sorted(set(self.answers))
        for path in sorted(glob.glob(os.path.join(log_dir, "*.log"))):
            if os.path.basename(path) != "sim.log":
                found += self.in_log(path)
        for pid in pids:
            found += self.in_command_line(pid)
        return found
