"""Certificates for tests, made by openssl(1): an authority that nobody else trusts, and what it signs."""

import os
import shutil
import subprocess


def missing():
    return None if shutil.which("openssl") else "openssl"


def _openssl(*words):
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"openssl {' '.join(words)}: {done.stderr}")


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """Keys and certificates NAME.key and NAME.pem in a folder, NAME.pem being what `ca_file` wants."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name = folder, name
        self.file = self._path(name + ".pem")
        _openssl("req", "-x509", *_KEY, "-keyout", self._path(name + ".key"), "-out", self.file, "-days", "2",
                 "-subj", f"/CN=gengate tests: {name}", "-addext", "basicConstraints=critical,CA:TRUE")

    def _path(self, name):
        return os.path.join(self.folder, name)

    def sign(self, name, *alternative_names):
        """For "IP:127.0.0.1" or "DNS:example.com"; the paths of certificate and key."""
        cert, key, request, extensions = (self._path(name + end) for end in (".pem", ".key", ".csr", ".ext"))
        with open(extensions, "w", encoding="ascii") as f:
            f.write("subjectAltName=" + ",".join(alternative_names) + "\n")
        _openssl("req", *_KEY, "-keyout", key, "-out", request, "-subj", "/CN=" + name)
        _openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self._path(self.name + ".key"),
                 "-set_serial", "0x" + os.urandom(8).hex(), "-days", "2", "-extfile", extensions, "-out", cert)
        return cert, key
