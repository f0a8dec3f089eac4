"""What the process may do: no new rights, no core files, and another user than root."""

import grp
import os
import pwd
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, test
from tap import Skip

CONFIG = 78
rig = None


def setup():
    global rig
    rig = e2e.Rig().start()


def status(pid):
    """/proc/<pid>/status as a dictionary of lists."""
    text = e2e.read(f"/proc/{pid}/status")
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in text.splitlines())}


@test
def nothing_gets_more_rights():
    equal(status(rig.gengate.pid)["NoNewPrivs"], ["1"], "NoNewPrivs")


def ends_by(argv, env, number):
    """How a process ended that was killed by this signal and may write cores as far as we may."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    with tempfile.TemporaryDirectory() as folder:
        with subprocess.Popen(argv, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))) as p:
            for line in p.stderr:
                if b"server.ready" in line:
                    break
            os.kill(p.pid, number)
            p.stderr.close()
            _, how = os.waitpid(p.pid, 0)
            p.returncode = -number
        return how, os.listdir(folder)


@test
def no_core_is_left():
    path = os.path.join(rig.run_dir, "core.sock")
    how, files = ends_by([rig.gengate_program, "serve", "--listen", "unix:" + path, "--config", rig.config_file],
                         rig.gengate_environment(), signal.SIGABRT)
    equal((os.WIFSIGNALED(how), os.WTERMSIG(how)), (True, signal.SIGABRT), "how it ended")
    check(not os.WCOREDUMP(how), "it left a core")
    equal(files, [], "files in its folder")
    os.unlink(path)


@test
def limits_of_cores_are_set_for_good():
    limits = e2e.read(f"/proc/{rig.gengate.pid}/limits")
    line = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    equal(line.split()[4:6], ["1", "1"], line)


def whom():
    """Somebody who may connect to the stack's PostgreSQL."""
    if os.geteuid() != 0:
        raise Skip("only root can become somebody else")
    return rig.pg_user


@test
def root_becomes_the_user():
    user = whom()
    folder = os.path.join(rig.run_dir, "user")
    os.mkdir(folder)
    os.chown(folder, user.pw_uid, user.pw_gid)
    path = os.path.join(folder, "g.sock")
    group = next(g for g in grp.getgrall() if g.gr_gid not in (0, user.pw_gid))
    for setting, gid in ((user.pw_name, user.pw_gid), (f"{user.pw_name}:{group.gr_name}", group.gr_gid)):
        rig.configure(user=setting)
        part = rig._gengate_part(1, path).start()
        try:
            found = status(part.pid)
            equal((found["Uid"], found["Gid"]), ([str(user.pw_uid)] * 4, [str(gid)] * 4), f"who runs with user = {setting}")
            check("0" not in found["Groups"], f"root's group is left: {found['Groups']}")
            stat = os.stat(path)
            equal((stat.st_uid, stat.st_gid, stat.st_mode & 0o777), (user.pw_uid, gid, 0o660), "the socket")
        finally:
            part.stop()
            rig.configure(user=None)
        check(not os.path.exists(path), "the socket is left")


@test
def wrong_users_are_told():
    # Where everybody may run it, wherever the build is.
    program = shutil.copy(rig.gengate_program, rig.run_dir)

    def said(name, **more):
        done = rig.run([program, "work", "--once", "--config", rig.config_file], check=False,
                       env=rig.gengate_environment(user=name), **more)
        equal(done.returncode, CONFIG, f"exit status with {name}; it said {done.stderr}")
        return done.stderr
    check("there is no user nobody-of-that-name" in said("nobody-of-that-name"), "an unknown user")
    ours = pwd.getpwuid(os.geteuid()).pw_name
    check("there is no group no-such-group" in said(ours + ":no-such-group"), "an unknown group")
    if os.geteuid() == 0:
        check("only root can become root" in said("root", user=rig.pg_user.pw_uid, group=rig.pg_user.pw_gid,
                                                  extra_groups=[], cwd="/"), "somebody who is not root")


def teardown():
    if rig:
        rig.stop()


e2e.main(setup, teardown)
