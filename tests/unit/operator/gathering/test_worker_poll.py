"""Asking thousands of workers within one pass: in turns, for a limited time, and silent ones seldom."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from dueby_operator.gathering.worker_poll import BUDGET_S, KEPT_BYTES, KEPT_S, WorkerPoll
from dueby_operator.jobs import names
from dueby_operator.kube.turns import FairSemaphore
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod

PAGE = "/progress"
TIMEOUT_S = 3.0


def pod(name: str, *, namespace: str = "team", job: str = "job") -> Pod:
    metadata = {"name": name, "namespace": namespace, "uid": name, "labels": {names.JOB: job}}
    return parse(Pod, {"metadata": metadata})


@dataclass
class Cluster:
    """Workers that answer at once, and silent ones, on a clock that only silence moves."""

    now_s: float = 0.0
    silent: set[str] = field(default_factory=set)
    refusing: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    waiting: list[asyncio.Future[None]] = field(default_factory=list)

    def clock_s(self) -> float:
        return self.now_s

    async def ask(self, pod: Pod, page: str) -> bytes | None:
        self.asked[pod.name] += 1
        await asyncio.sleep(0)
        if pod.name in self.refusing:
            return None
        if pod.name in self.silent:
            await self._time_out()
            return None
        return b"%d" % self.asked[pod.name]

    async def _time_out(self) -> None:
        """Wait until everybody waits; then the time limit is over for all who do."""
        end_s = self.now_s + TIMEOUT_S
        for _ in range(50):
            await asyncio.sleep(0)
        self.now_s = max(self.now_s, end_s)

    def poll(self, **options: float) -> WorkerPoll:
        return WorkerPoll(self.ask, clock_s=self.clock_s, **options)  # type: ignore[arg-type]


async def look(poll: WorkerPoll, *pods: Pod) -> dict[str, bytes]:
    """One pass over the pods."""
    poll.begin(pods)
    answers = await asyncio.gather(*(poll.ask(each, PAGE) for each in pods))
    return {each.name: answer for each, answer in zip(pods, answers, strict=True) if answer is not None}


def test_silent_pods_of_one_tenant_hold_up_neither_the_pass_nor_another_tenants_answers() -> None:
    silent = [pod(f"silent-{number}", namespace="evil", job=f"job-{number % 40}") for number in range(2560)]
    good = [pod(f"good-{number}") for number in range(1000)]
    cluster = Cluster(silent={each.name for each in silent})

    found = asyncio.run(look(cluster.poll(), *silent, *good))

    assert found.keys() == {each.name for each in good}
    assert cluster.now_s <= BUDGET_S + TIMEOUT_S, "the clock stands where the pass ended"


def test_a_pass_ends_in_its_time_even_if_a_question_never_does() -> None:
    async def never(pod: Pod, page: str) -> bytes | None:
        return b"here" if pod.name == "good" else await asyncio.get_running_loop().create_future()

    silent = [pod(f"silent-{number}", job="other") for number in range(200)]

    async def take_look() -> dict[str, bytes]:
        return await asyncio.wait_for(look(WorkerPoll(never, budget_s=1.0), *silent, pod("good")), 60)

    assert asyncio.run(take_look()) == {"good": b"here"}


def test_a_silent_pod_is_asked_less_and_less_often_and_as_usual_once_it_answers() -> None:
    cluster = Cluster(silent={"p"})
    poll = cluster.poll()

    async def passes(count: int) -> None:
        for _ in range(count):
            await look(poll, pod("p"), pod("other"))
            cluster.now_s += 1.0

    asyncio.run(passes(200))
    assert cluster.asked["other"] == 200
    assert 5 <= cluster.asked["p"] <= 9
    cluster.silent.clear()
    cluster.now_s += 60.0
    before = cluster.asked["p"]
    asyncio.run(passes(10))
    assert cluster.asked["p"] == before + 10


def test_a_pod_that_missed_one_question_or_refuses_at_once_is_asked_in_the_next_pass() -> None:
    cluster = Cluster(silent={"slow"}, refusing={"starting"})
    poll = cluster.poll()

    async def passes() -> None:
        for _ in range(2):
            await look(poll, pod("slow"))
        for _ in range(20):
            await look(poll, pod("starting"))

    asyncio.run(passes())
    assert cluster.asked == {"slow": 2, "starting": 20}


def test_what_a_pass_had_no_time_to_ask_keeps_its_last_answer_for_a_while() -> None:
    cluster = Cluster()
    poll = cluster.poll(at_once=1)

    async def passes() -> None:
        assert await look(poll, pod("p")) == {"p": b"1"}
        crowd = [pod(f"silent-{number}") for number in range(9)]
        cluster.silent = {each.name for each in crowd}
        assert await look(poll, *crowd, pod("p")) == {"p": b"1"}
        assert cluster.asked["p"] == 1
        cluster.now_s += KEPT_S
        crowd = [pod(f"more-{number}") for number in range(9)]
        cluster.silent = {each.name for each in crowd}
        assert await look(poll, *crowd, pod("p")) == {}

    asyncio.run(passes())


def test_turns_go_to_whoever_has_the_fewest() -> None:
    order: list[str] = []

    async def take(turns: FairSemaphore, tenant: str, job: str, leave: asyncio.Event) -> None:
        async with turns.take(tenant, job):
            order.append(f"{tenant}/{job}")
            await leave.wait()

    async def run() -> None:
        turns, leave = FairSemaphore(4), asyncio.Event()
        waiting = [("a", "1"), ("a", "1"), ("a", "1"), ("a", "2"), ("b", "1"), ("b", "1")]
        tasks = [asyncio.create_task(take(turns, *who, leave)) for who in waiting]
        for _ in range(10):
            await asyncio.sleep(0)
        assert sorted(order) == ["a/1", "a/2", "b/1", "b/1"]
        leave.set()
        await asyncio.gather(*tasks)
        assert len(order) == 6

    asyncio.run(run())


def test_a_turn_that_was_waited_for_no_longer_is_not_lost() -> None:
    async def run() -> None:
        turns, leave = FairSemaphore(1), asyncio.Event()

        async def hold() -> None:
            async with turns.take("a", "1"):
                await leave.wait()

        tasks = [asyncio.create_task(hold()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        leave.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        granted = asyncio.create_task(hold())
        await asyncio.sleep(0)
        granted.cancel()  # in the moment in which it is given
        await asyncio.gather(granted, return_exceptions=True)
        await asyncio.wait_for(hold(), 5)

    asyncio.run(run())


def test_only_small_answers_are_kept_since_there_may_be_thousands() -> None:
    now_s = [0.0]

    async def answer(pod: Pod, page: str) -> bytes | None:
        return b" " * (KEPT_BYTES + (pod.name == "large"))

    async def passes() -> None:
        poll, pods = WorkerPoll(answer, clock_s=lambda: now_s[0]), (pod("large"), pod("small"))
        assert len(await look(poll, *pods)) == 2
        poll.begin(pods)
        now_s[0] += BUDGET_S
        assert [await poll.ask(each, PAGE) is not None for each in pods] == [False, True]

    asyncio.run(passes())
