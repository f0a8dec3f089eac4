"""The demo: see the file `demo` in the top folder, which builds and then runs this."""

import argparse
import hashlib
import json
import os
import shlex
import signal
import struct
import subprocess
import sys
import time
import zlib

import stack as stacks

PROMPT = "a lighthouse at dusk, oil on canvas"
PORT = 8080
REPLICATE = "replicate"
TIMEOUT = 600
MAGIC = {"png": (0, b"\x89PNG\r\n\x1a\n"), "jpg": (0, b"\xff\xd8\xff"), "webp": (8, b"WEBP"), "gif": (0, b"GIF8"),
         "avif": (4, b"ftypavif"), "mp4": (4, b"ftyp"), "webm": (0, b"\x1aE\xdf\xa3")}


class DemoError(Exception):
    pass


def say(text=""):
    print(text, flush=True)


def curl(*words):
    """Show the command as one would type it, run exactly that; what it printed."""
    argv = ["curl", "-sS", *words]
    say("$ " + " ".join(shlex.quote(word) for word in argv))
    return run(argv)


def run(argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          env={**os.environ, "no_proxy": stacks.HOST})
    if done.returncode:
        raise DemoError(f"curl: {done.stderr.strip()}")
    return done.stdout


def settings():
    """From the environment, as for gengate itself: the real provider's."""
    found = {name[len("GENGATE_"):].lower(): value for name, value in os.environ.items()
             if name.startswith("GENGATE_") and not name.startswith("GENGATE_STACK_")}
    for name in ("database_url", "public_url", "auth", "storage_dir", "storage_public_url"):
        found.pop(name, None)       # the demo's own
    return found


def use(stack, provider):
    """The simulator plays it; asked for is the first model that goes there."""
    with open(stack.config["models_file"], encoding="utf-8") as f:
        model = next((name for name, profile in json.load(f).items() if provider in profile["on"]), None)
    if not model:
        raise DemoError(f"{stack.config['models_file']} has no model for {provider}: none has it in \"on\"")
    stack.configure(provider=provider, default_model=model, replicate_token=None, replicate_webhook_secret=None,
                    **stack.simulated(provider))


def make_stack(once, provider):
    real = "GENGATE_REPLICATE_TOKEN" in os.environ or "GENGATE_REPLICATE_TOKEN_FILE" in os.environ
    if real and provider != REPLICATE:
        raise DemoError(f"{provider} is simulated, and there is Replicate's token: unset GENGATE_REPLICATE_TOKEN")
    config = settings() if real else {}
    supabase = {"supabase_url", "supabase_key"} <= {name.removesuffix("_file") for name in config}
    chosen = os.environ.get("DEMO_PORT")
    try:
        port = int(chosen or PORT)
        if not 0 < port < 65536:
            raise ValueError
    except ValueError:
        raise DemoError(f"DEMO_PORT is not a port: {chosen}") from None
    options = {"simulator": not real, "storage": "supabase" if supabase else "local", "auth": "none",
               "config": config}
    try:
        stack = stacks.Stack(port=port, **options)
    except stacks.PortTaken as e:
        if once and not chosen:
            stack = stacks.Stack(**options)
        else:
            words = (" --once" if once else "") + (f" --provider {provider}" if provider != REPLICATE else "")
            raise DemoError(f"{e}. Another port: DEMO_PORT={port + 1} ./demo{words}") from None
    if provider != REPLICATE:
        use(stack, provider)
    return real, stack


def parse(text):
    try:
        job = json.loads(text)
        job["id"], job["status"]
    except (ValueError, KeyError, TypeError):
        raise DemoError(f"that is no job: {text.strip()}") from None
    return job


def generate(stack):
    """Ask for a picture and follow it to its end; the job."""
    say("Ask for a picture:\n")
    text = curl("-H", "Content-Type: application/json", "-d", json.dumps({"prompt": PROMPT}), stack.url + "/generate")
    say(text.rstrip() + "\n")
    job = parse(text)
    url = f"{stack.url}/status/{job['id']}"

    say("Ask what became of it, until it has ended:\n")
    start, last = time.monotonic(), None
    ask = ["curl", "-sS", url]
    say("$ " + " ".join(ask))
    while True:
        if job["status"] != last:
            last = job["status"]
            say(f"{time.monotonic() - start:6.1f} s  {last}")
        if last in stacks.SETTLED:
            break
        if time.monotonic() - start > TIMEOUT:
            raise DemoError(f"not ended within {TIMEOUT} s")
        time.sleep(0.1)
        job = parse(run(ask))
    say()
    if last != "succeeded":
        raise DemoError(f"the job ended as {last}: {json.dumps(job.get('error'))}")
    return job


def png_size(data):
    """Width and height of a whole and undamaged PNG."""
    at, size = 8, None
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + length > len(data):
            break
        if zlib.crc32(data[at + 4:at + 8 + length]) != struct.unpack_from(">I", data, at + 8 + length)[0]:
            raise DemoError("the PNG is damaged")
        if kind == b"IHDR":
            size = struct.unpack_from(">II", data, at + 8)
        if kind == b"IEND" and size:
            return size
        at += 12 + length
    raise DemoError("the PNG is cut off")


def fetch(stack, job):
    """Fetch the first asset with curl and look at its bytes."""
    if not job.get("assets"):
        raise DemoError("the job succeeded without an asset")
    asset = job["assets"][0]
    say(f"Its picture: {asset['url']}\n")
    ending = os.path.splitext(asset["url"].partition("?")[0])[1] or ".bin"
    path = os.path.join(os.path.relpath(stack.builddir), "demo-output" + ending)
    if os.path.exists(path):
        os.unlink(path)
    curl("-f", "-o", path, asset["url"])
    with open(path, "rb") as f:
        data = f.read()
    kind = next((name for name, (at, magic) in MAGIC.items() if data[at:at + len(magic)] == magic), None)
    if not kind:
        raise DemoError(f"{path} is no picture")
    if asset.get("sha256") and asset["sha256"] != hashlib.sha256(data).hexdigest():
        raise DemoError(f"{path} has not the SHA-256 that the job tells")
    what = kind.upper()
    if kind == "png":
        what += " of {} x {} pixels".format(*png_size(data))
    say(f"\nA {what}, {len(data)} bytes, in {os.path.abspath(path)}")


def serve(stack):
    say(f"\nServing until Ctrl-C.  Playground: {stack.url}/")
    while True:
        for part in stack.parts:
            if not part.alive():
                stack.fail(f"{part.name} ended with {part.process.returncode}")
        time.sleep(0.5)


def main():
    parser = argparse.ArgumentParser(prog="demo", description="A generation, from the request to the picture.")
    parser.add_argument("--once", action="store_true", help="end after the picture")
    parser.add_argument("--provider", default=REPLICATE, help="whom the simulator plays")
    args = parser.parse_args()
    once = args.once
    signal.signal(signal.SIGINT, signal.default_int_handler)
    done = False
    try:
        real, stack = make_stack(once, args.provider)
        with stack:
            say("gengate with a PostgreSQL of its own, nginx and "
                + ("the real provider" if real else f"a simulator in the place of {args.provider}") + ".\n")
            fetch(stack, generate(stack))
            done = True
            if not once:
                serve(stack)
    except KeyboardInterrupt:
        say()
        return 0 if done else 130
    except (DemoError, stacks.StackError, OSError) as e:
        print(f"demo: {e}", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
