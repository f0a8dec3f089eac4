"""A Rig with `auth = supabase` and its project's keys, and tokens that are refused."""

import json
import time
import uuid

import e2e
import tokens
from e2e import stacks


class TokenRig(e2e.Rig):
    """Whoever is the `user` of a request comes with a token; users are UUIDs."""

    def __init__(self, config=None, **options):
        super().__init__(auth="supabase", config=config, **options)
        self.es = tokens.Key(self.run_dir, "key-1")
        self.rs = tokens.Key(self.run_dir, "key-2", alg="RS256")
        self.issuer = self.url + "/auth/v1"
        self.given = {}

    def start(self):
        super().start()
        self.publish(self.es, self.rs)
        return self

    def publish(self, *keys):
        self.set_sim(jwks=tokens.jwks(*keys))

    def begin_anew(self, **settings):
        """With other settings, without keys that anybody knows."""
        self.configure(**settings)
        self.gengate.stop()
        self.sql("DELETE FROM generation_shared")
        self.set_sim(jwks=tokens.jwks(self.es, self.rs), auth_guarded=0)
        self.gengate.start()
        self.wait_ready()
        stacks.wait_for(lambda: self.sql("SELECT name FROM generation_shared WHERE name LIKE 'jwks:%'"), 10, "the keys")

    def claims(self, user=None, **more):
        return tokens.claims(self.issuer, user, **more)

    def token_of(self, user):
        if user not in self.given:
            self.given[user] = self.es.token(self.claims(user))
        return self.given[user]

    def http(self, method, path, *, user=None, headers=None, **more):
        if user is not None:
            headers = {**(headers or {}), "Authorization": "Bearer " + self.token_of(user)}
        return super().http(method, path, headers=headers, **more)

    def submit(self, prompt="a lighthouse", *, user=None, **more):
        return super().submit(prompt, user=user or str(uuid.uuid4()), **more)


def bad_tokens(rig, secret):
    """Each that is refused, and what the client is told."""
    now = int(time.time())
    good, es, rs = rig.claims(), rig.es, rig.rs
    stranger = tokens.Key(rig.run_dir, es.kid)
    yield "garbage", "garbage", "no JSON Web Token"
    yield "expired", es.token({**good, "exp": now - 61}), "expired"
    yield "not yet", es.token({**good, "nbf": now + 120}), "not good yet"
    yield "another key under the kid", stranger.token(good), "signature"
    yield "unknown kid", es.token(good, kid="unknown"), "kid"
    yield "no kid", es.token(good, kid=None), "kid"
    yield "alg none", tokens.part({"alg": "none", "kid": es.kid}) + "." + tokens.part(good) + ".", "no JSON Web Token"
    yield "alg none, with a signature", es.token(good, alg="none"), "algorithm"
    yield "another algorithm than the key's", es.token(good, alg="RS256"), "signature"
    for name, text in (("the set", tokens.jwks(es, rs)), ("the key", json.dumps(es.jwk))):
        yield f"HS256 by {name}", tokens.Secret(text).token(good, kid=es.kid), "algorithm"
    yield "wrong issuer", es.token({**good, "iss": "https://other.supabase.co/auth/v1"}), "issuer"
    yield "no issuer", es.token(rig.claims(iss=None)), "issuer"
    yield "wrong audience", es.token({**good, "aud": "anon"}), "audience"
    yield "no audience", es.token(rig.claims(aud=None)), "audience"
    yield "anon's role", es.token({**good, "role": "anon"}), "no user"
    yield "service_role's role", es.token({**good, "role": "service_role"}), "no user"
    for role in ("anon", "service_role"):
        key = {"iss": "supabase", "ref": "ref", "role": role, "iat": now - 99, "exp": now + 10 ** 8}
        yield f"the {role} key", tokens.Secret(secret).token(key), "issuer"
        yield f"the {role} key, signed anew", es.token(key), "issuer"
    yield "a publishable key", "sb_publishable_sim", "no JSON Web Token"
    yield "an ID token", es.token({**good, "aud": str(uuid.uuid4()), "nonce": "n", "role": None}), "audience"
    yield "no sub", es.token(rig.claims(sub=None) | {"sub": None}), "sub"
    yield "sub no UUID", es.token({**good, "sub": "alice"}), "sub"
    twice = json.dumps(good)[:-1] + ', "sub": "' + str(uuid.uuid4()) + '"}'
    yield "a claim twice", es.token(twice), "no JSON Web Token"
    yield "a header member twice", doubled_header(rig), "no JSON Web Token"
    yield "no exp", es.token(rig.claims(exp=None)), "exp"
    yield "altered", altered(rig, es.token(good)), "signature"


def doubled_header(rig):
    head = tokens.part(f'{{"alg": "ES256", "kid": "x", "kid": "{rig.es.kid}"}}')
    signed = head + "." + tokens.part(rig.claims())
    return signed + "." + tokens.base64url(rig.es.sign(signed.encode()))


def altered(rig, token):
    """Another user, and the same signature."""
    head, _, signature = token.split(".")
    return f"{head}.{tokens.part(rig.claims())}.{signature}"
