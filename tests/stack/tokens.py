"""Tokens as Supabase Auth gives them to users, signed by openssl(1)."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import time
import uuid


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value):
    """Of a token: an object, or a text as it is."""
    return base64url((value if isinstance(value, str) else json.dumps(value)).encode())


def _openssl(*words, data=b""):
    return subprocess.run(["openssl", *words], input=data, capture_output=True, check=True, timeout=60).stdout


def _raw(der):
    """r and s of an ASN.1 sequence of two, each in 32 bytes."""
    at, numbers = 2, []
    for _ in range(2):
        size = der[at + 1]
        numbers.append(int.from_bytes(der[at + 2:at + 2 + size], "big").to_bytes(32, "big"))
        at += 2 + size
    return b"".join(numbers)


class Key:
    """A signing key of a project: alg is ES256 or RS256."""

    def __init__(self, folder, kid, alg="ES256"):
        self.kid, self.alg = kid, alg
        self.file = os.path.join(folder, f"signing-{uuid.uuid4()}.pem")
        kind = (["EC", "-pkeyopt", "ec_paramgen_curve:P-256"] if alg == "ES256" else
                ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        _openssl("genpkey", "-quiet", "-algorithm", *kind, "-out", self.file)

    @property
    def jwk(self):
        known = {"kid": self.kid, "alg": self.alg, "use": "sig", "key_ops": ["verify"]}
        if self.alg == "ES256":
            point = _openssl("pkey", "-in", self.file, "-pubout", "-outform", "DER")[-64:]
            return {**known, "kty": "EC", "crv": "P-256", "x": base64url(point[:32]), "y": base64url(point[32:])}
        modulus = _openssl("rsa", "-in", self.file, "-noout", "-modulus").decode().strip().partition("=")[2]
        return {**known, "kty": "RSA", "n": base64url(bytes.fromhex(modulus)), "e": "AQAB"}

    def sign(self, data):
        signature = _openssl("dgst", "-sha256", "-sign", self.file, data=data)
        return _raw(signature) if self.alg == "ES256" else signature

    def token(self, claims, **header):
        """header: members to add, or with None to leave out."""
        head = {"alg": self.alg, "kid": self.kid, "typ": "JWT", **header}
        signed = part({k: v for k, v in head.items() if v is not None}) + "." + part(claims)
        return signed + "." + base64url(self.sign(signed.encode()))


class Secret:
    """The legacy secret of a project, which signs with HS256."""

    def __init__(self, secret):
        self.secret = secret if isinstance(secret, bytes) else secret.encode()

    def token(self, claims, **header):
        head = {"alg": "HS256", "typ": "JWT", **header}
        signed = part({k: v for k, v in head.items() if v is not None}) + "." + part(claims)
        return signed + "." + base64url(hmac.new(self.secret, signed.encode(), hashlib.sha256).digest())


def jwks(*keys):
    return json.dumps({"keys": [key.jwk for key in keys]})


def claims(issuer, user=None, **more):
    """A user's claims; those given as None are left out."""
    now = int(time.time())
    known = {
        "iss": issuer, "sub": user or str(uuid.uuid4()), "aud": "authenticated", "exp": now + 3600, "iat": now,
        "email": "somebody@example.com", "phone": "", "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {"name": "Some Body"}, "role": "authenticated", "aal": "aal1",
        "amr": [{"method": "password", "timestamp": now}], "session_id": str(uuid.uuid4()), "is_anonymous": False,
        **more,
    }
    return {name: value for name, value in known.items() if value is not None}
