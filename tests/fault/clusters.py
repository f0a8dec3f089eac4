"""Two kinds of PostgreSQL that a Rig does not have by itself: one with a synchronous
standby, and one whose tables lie on a small disk."""

import os

from fault import Rig, stacks
from tap import Skip


class WithStandby(Rig):
    """Commits are answered when the standby has them, too.  promote(): it takes over."""

    def __init__(self, **options):
        super().__init__(postgres={"wal_level": "replica"}, **options)
        self.serving_dir = self.pg_dir
        self.standby_dir = os.path.join(self.run_dir, "pg2")
        os.mkdir(self.standby_dir, 0o700)
        self.as_postgres = {}
        if self.pg_user:
            os.chown(self.standby_dir, self.pg_user.pw_uid, self.pg_user.pw_gid)
            self.as_postgres = {"uid": self.pg_user.pw_uid, "gid": self.pg_user.pw_gid}
        # A pooler knows one server; it is told of another when that takes over.
        if not self.pooler:
            quote = stacks.urllib.parse.quote
            first, second = (quote(path, safe="") for path in (self.pg_dir, self.standby_dir))
            self.configure(database_url=self.config["database_url"].replace(f"host={first}", f"host={first},{second}")
                           + "&target_session_attrs=read-write")
        self.standby = stacks.Part(self, "standby", self._standby_argv, cwd=self.standby_dir,
                                   stop_signal=stacks.signal.SIGINT, **self.as_postgres)

    @property
    def parts(self):
        return [part for part in (getattr(self, "standby", None), *super().parts) if part]

    def _standby_argv(self):
        conf = {"listen_addresses": "", "unix_socket_directories": self.standby_dir, "fsync": "off",
                "max_connections": 200, "shared_buffers": "64MB", "dynamic_shared_memory_type": "mmap",
                "primary_conninfo": f"host={self.pg_dir} user=gengate application_name=standby"}
        options = [word for name, value in conf.items() for word in ("-c", f"{name}={value}")]
        return [os.path.join(self.pg_bindir, "postgres"), "-D", os.path.join(self.standby_dir, "data"), *options]

    def _psql_options(self, database):
        options = super()._psql_options(database)
        return [self.serving_dir if word == self.pg_dir else word for word in options]

    def start_database(self):
        super().start_database()
        user = {"user": self.pg_user.pw_uid, "group": self.pg_user.pw_gid, "extra_groups": []} if self.pg_user else {}
        self.run([os.path.join(self.pg_bindir, "pg_basebackup"), "-h", self.pg_dir, "-U", "gengate", "-R", "-X", "stream",
                  "-c", "fast", "--no-sync", "-D", os.path.join(self.standby_dir, "data")], cwd=self.standby_dir, **user)
        self.standby.start()
        self.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        self.sql("SELECT pg_reload_conf()")
        stacks.wait_for(lambda: self.sql_value("SELECT sync_state FROM pg_stat_replication") == "sync", 20,
                        "synchronous standby")

    def promote(self):
        """The primary is dead and stays so."""
        self.postgres.kill()
        self.serving_dir = self.standby_dir
        self.sql("SELECT pg_promote()", database="postgres")
        if self.pooler:
            self._lead_pooler_to(self.standby_dir)

    def _lead_pooler_to(self, folder):
        path = os.path.join(self.pg_dir, "pgbouncer.ini")
        with open(path, encoding="utf-8") as f:
            text = f.read().replace(f"host={self.pg_dir} ", f"host={folder} ")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        self.pooler.signal(stacks.signal.SIGHUP)


class OnSmallDisk(Rig):
    """gengate's tables lie on a file system of their own, which fill() fills."""

    OPTIONS = "size=12m,mode=700"
    # Who may not mount may do so in a namespace of their own; PostgreSQL must not be root, there neither.
    IN_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
                    'mount -t tmpfs -o "$0" gengate-test "$1" && shift && '
                    'exec unshare --user --map-user=1000 --map-group=1000 "$@"']

    def __init__(self, **options):
        super().__init__(**options)
        self.disk = os.path.join(self.run_dir, "disk")
        os.mkdir(self.disk)
        self.mounted = False

    def _mount(self):
        owner = f",uid={self.pg_user.pw_uid},gid={self.pg_user.pw_gid}" if self.pg_user else ""
        done = self.run(["mount", "-t", "tmpfs", "-o", self.OPTIONS + owner, "gengate-test", self.disk], check=False)
        return done.returncode == 0

    def _mount_in_namespace(self):
        words = [*self.IN_NAMESPACE, self.OPTIONS, self.disk]
        if self.pg_user or self.run([*words, "true"], check=False).returncode:
            raise Skip("a small file system cannot be mounted here")
        plain = self.postgres.argv
        self.postgres.argv = lambda: [*words, *plain()]

    def start_database(self):
        self.mounted = self._mount()
        if not self.mounted:
            self._mount_in_namespace()
        super().start_database()
        self.sql(f"CREATE TABLESPACE small LOCATION '{self.disk}'")
        self.sql("ALTER DATABASE gengate SET default_tablespace = small", database="postgres")

    @property
    def _filler(self):
        """As PostgreSQL sees the disk."""
        root = "" if self.mounted else f"/proc/{self.postgres.pid}/root"
        return os.path.join(root + self.disk, "filler")

    def fill(self):
        with open(self._filler, "wb", buffering=0) as f:
            try:
                while f.write(bytes(4096)):
                    pass
            except OSError:
                pass

    def free(self):
        os.unlink(self._filler)

    def stop(self):
        if not self.stopped and getattr(self, "mounted", False):
            self.postgres.kill()
            self.run(["umount", "-l", self.disk], check=False)
        super().stop()
