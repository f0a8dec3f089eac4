"""PgBouncer in transaction mode between gengate and PostgreSQL, with fewer connections than
gengate has.  GENGATE_TEST_POOLER=1 puts it into the other tests too."""

import concurrent.futures
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import e2e
from e2e import check, equal, test

AT_ONCE = 16
rig = None


def setup():
    global rig
    rig = e2e.Rig(pooler=True, config={"db_pool": 16}).start()


def answers(count):
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda n: rig.post(f"one of {count}", user=f"{count}-{n}"), range(count)))


@test
def many_share_few_connections():
    taken = answers(40)
    equal({answer.status for answer in taken}, {202}, "statuses")
    for n, answer in enumerate(taken):
        rig.succeeds({**answer.json, "user": f"40-{n}"})
    used = rig.sql_value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gengate'")
    check(1 <= int(used) <= 4, f"connections of PostgreSQL: {used}")


@test
def the_pooler_may_be_restarted():
    job = rig.submit("before the restart")
    rig.pooler.restart(hard=True)
    rig.wait_ready()
    rig.succeeds(job)
    rig.succeeds(rig.submit("after the restart"))


@test
def logs_are_clean():
    e2e.check_logs(rig)


@test
def who_forgot_named_statements_is_told():
    rig.configure(named_statements="on")
    rig.gengate.restart()
    refused = [answer for answer in answers(60) if answer.status != 202]
    check(refused, "no statement met another's connection")
    check("named_statements = off" in rig.gengate.log(), "nobody says what to do")


def main():
    if not e2e.stacks.find_program("pgbouncer"):
        e2e.skip_all("missing: pgbouncer")
    e2e.main(setup, lambda: rig and rig.stop())


main()
