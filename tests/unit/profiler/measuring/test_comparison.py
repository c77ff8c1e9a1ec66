"""How engines are compared: in turns, so that a burst of other programs doesn't choose the engine, or one by one."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import pytest

from dueby_api.engines import EngineName
from dueby_api.errors import Invalid
from dueby_profiler.analysis.points import Measurements
from dueby_profiler.measuring.choices import ENGINE_FIELD
from dueby_profiler.measuring.comparison import EngineComparison, compared_size, fastest, relative_rate
from dueby_profiler.measuring.messages import Built, Contended, DecodingRates, Point
from dueby_profiler.measuring.process_group import Crashed, OutOfMemory
from dueby_profiler.measuring.rounds import MeasuringGroup, MeasuringTarget
from dueby_profiler.presets import FULL
from support.profiler import Burst, SimulatedMachine, a_point

# The simulated machine has grown its sizes by then.
EXPLORED_S = 1008.0
OpenGroup = Callable[[], AbstractContextManager[MeasuringGroup]]


@dataclass(kw_only=True)
class ScriptedGroup:
    """A group whose steps take what the script says, turn by turn."""

    name: str
    steps_us: list[int]
    log: list[str]

    def build(self, size: int) -> list[Built]:
        """See MeasuringGroup."""
        self.log.append(f"build {self.name} {size}")
        return []

    def run(self, limit_s: float, at_end: Callable[[], None] | None = None) -> list[Point]:
        """See MeasuringGroup."""
        self.log.append(f"{self.name} {limit_s:.1f} s")
        return [a_point(8, starts_us=0, durations_us=[self.steps_us.pop(0)] * 5)]

    def contend(self, phase_s: float, folder: Path) -> list[Contended]:
        """See MeasuringGroup."""
        raise NotImplementedError

    def decode(self, phase_s: float, cores: Sequence[int], folder: Path) -> list[DecodingRates]:
        """See MeasuringGroup."""
        raise NotImplementedError


@pytest.mark.parametrize("burst", list(combinations(range(7), 2)), ids=lambda turns: f"turns {turns[0]} to {turns[1]}")
def test_a_burst_that_lasts_some_turns_does_not_change_the_ratio(burst: tuple[int, int]) -> None:
    log: list[str] = []
    steps_us = [[1000, 800][turn % 2] * (15 if turn in range(*burst) else 1) for turn in range(6)]
    first = ScriptedGroup(name="a", steps_us=steps_us[::2], log=log)
    second = ScriptedGroup(name="b", steps_us=steps_us[1::2], log=log)
    assert relative_rate(first, second, size=8, seconds=3) == pytest.approx(1.25)
    assert log == ["build a 8", "build b 8", *["a 1.0 s", "b 1.0 s"] * 3]


@pytest.mark.parametrize(("lead", "engine"), [(1.05, "cudagraph"), (1.15, "cuda")])
def test_launching_operations_one_by_one_has_to_be_a_tenth_faster(lead: float, engine: EngineName) -> None:
    assert fastest({"cudagraph": 1000.0, "cuda": 1000.0 * lead}) == engine


@dataclass(kw_only=True)
class Trial:
    """A comparison of `openvino`, which is explored, with `eager`, which takes less or more time."""

    machine: SimulatedMachine
    slowness: float
    takes_turns: bool = True
    other: EngineName = "eager"
    open_first: Sequence[OpenGroup] = ()
    """What is opened instead of the first groups of the other engine."""
    left_out: dict[EngineName, str] = field(default_factory=dict)

    def rates(self) -> dict[EngineName, float]:
        """Explore and compare; return the rates."""
        survey, openings = self.machine.survey(FULL), list(self.open_first)

        def target(engine: EngineName) -> MeasuringTarget:
            found = self.machine.target(engine, slowness=self.slowness)
            return replace(found, open_group=openings.pop(0)) if openings else found

        comparison = EngineComparison(
            others=[self.other],
            open_target=target,
            seconds=FULL.compare_s,
            takes_turns=self.takes_turns,
            on_phase=survey.on_phase,
            on_left_out=self.left_out.__setitem__,
        )
        survey.explore(lambda group, peak_mib: comparison.take_turns(survey, group, peak_mib))
        # Whatever becomes of the other engine, it takes no size from the explored one.
        assert survey.failed_size is None
        rates = comparison.rates(survey)
        assert not openings
        return rates


def ratio(trial: Trial) -> float:
    rates = trial.rates()
    return rates["eager"] / rates["openvino"]


def a_machine(*bursts: Burst, memory_mib: int = 8192) -> SimulatedMachine:
    return SimulatedMachine(noise=0.003, bursts=list(bursts), memory_mib=memory_mib)


def test_a_burst_after_exploring_no_longer_decides_for_the_explored_engine() -> None:
    burst = Burst(begin_s=EXPLORED_S, cores=2.0)
    assert ratio(Trial(machine=a_machine(burst), slowness=0.8, takes_turns=False)) < 1
    assert ratio(Trial(machine=a_machine(burst), slowness=0.8)) == pytest.approx(1.25, rel=0.02)


def test_a_burst_while_exploring_no_longer_decides_for_the_other_engine() -> None:
    burst = Burst(begin_s=1000.0, end_s=EXPLORED_S + 6, cores=2.0)
    assert ratio(Trial(machine=a_machine(burst), slowness=1.25, takes_turns=False)) > 1
    assert ratio(Trial(machine=a_machine(burst), slowness=1.25)) == pytest.approx(0.8, rel=0.02)


def test_engines_that_would_not_fit_together_are_measured_one_after_the_other() -> None:
    machine = a_machine(memory_mib=700)
    assert ratio(Trial(machine=machine, slowness=0.8)) == pytest.approx(1.25, rel=0.02)
    together = a_machine()
    assert ratio(Trial(machine=together, slowness=0.8)) == pytest.approx(1.25, rel=0.02)
    # Six turns, three of them of the explored engine, take longer than one run of the other alone.
    assert machine.now_s < together.now_s - 1


def killed() -> AbstractContextManager[MeasuringGroup]:
    raise OutOfMemory(8)


def crashed() -> AbstractContextManager[MeasuringGroup]:
    raise Crashed(-11, "Fatal error\nno kernel for this device")


GONE = [
    pytest.param(killed, "a mini-batch of 8 images does not fit into memory", id="killed"),
    pytest.param(crashed, "a measuring process ended with exit code -11: no kernel for this device", id="crashed"),
]


@pytest.mark.parametrize(("gone", "reason"), GONE)
def test_processes_that_end_beside_the_explored_ones_are_tried_alone(gone: OpenGroup, reason: str) -> None:
    trial = Trial(machine=a_machine(), slowness=0.8, open_first=[gone])
    assert ratio(trial) == pytest.approx(1.25, rel=0.02)
    assert not trial.left_out


@pytest.mark.parametrize(("gone", "reason"), GONE)
def test_an_engine_whose_processes_end_alone_is_left_out(gone: OpenGroup, reason: str) -> None:
    trial = Trial(machine=a_machine(), slowness=0.8, open_first=[gone, gone])
    assert list(trial.rates()) == ["openvino"]
    assert trial.left_out == {"eager": reason}


def test_an_engine_that_does_not_run_here_is_left_out_and_tried_once() -> None:
    trial = Trial(machine=a_machine(), slowness=0.8, open_first=[lambda: refusing(ENGINE_FIELD)])
    assert list(trial.rates()) == ["openvino"]
    assert trial.left_out == {"eager": "not here"}


def test_what_else_is_wrong_is_no_reason_to_take_another_engine() -> None:
    with pytest.raises(Invalid, match=r"spec.model.name"):
        Trial(machine=a_machine(), slowness=0.8, open_first=[lambda: refusing("spec.model.name")]).rates()


def test_a_brief_comparison_counts_all_devices_together() -> None:
    machine = SimulatedMachine(slices=3, latency_s=lambda size: 0.01 * size, noise=0.0)
    rates = Trial(machine=machine, slowness=0.5, takes_turns=False).rates()
    assert rates == {"openvino": pytest.approx(300), "eager": pytest.approx(600)}


@pytest.mark.parametrize("takes_turns", [True, False])
def test_an_engine_that_is_many_times_slower_is_given_up_at_the_smallest_size(takes_turns: bool) -> None:
    # 64 images of it take 77 s.
    slow, alone = a_machine(), a_machine()
    trial = Trial(machine=slow, slowness=100, takes_turns=takes_turns)
    assert list(trial.rates()) == ["openvino"]
    assert trial.left_out == {"eager": "it takes 100 times as long at a mini-batch size of 1"}
    alone.survey(FULL).explore()
    assert slow.now_s < alone.now_s + 15


@pytest.mark.parametrize(
    ("ms_an_image", "size"),
    [
        pytest.param(
            {1: 20, 2: 14, 4: 10, 8: 12, 16: 11, 32: 13, 64: 15, 128: 9}, 16, id="its fastest, not the largest"
        ),
        pytest.param({1: 20, 8: 12, 64: 11, 256: 5}, 64, id="but none that takes too long"),
        pytest.param({1: 20, 2: 14, 4: 15}, 4, id="the largest, if all are small"),
    ],
)
def test_engines_are_compared_where_the_explored_one_is_fast(ms_an_image: dict[int, int], size: int) -> None:
    found = Measurements()
    for each, ms in ms_an_image.items():
        found.add_steady(0, [a_point(each, starts_us=0, durations_us=[1000 * each * ms] * 5)])
    assert compared_size(found) == size


def test_an_engine_for_which_there_is_no_time_is_left_out() -> None:
    trial = Trial(machine=SimulatedMachine(startup_s=0.4 * FULL.layout_s), slowness=0.8)
    assert list(trial.rates()) == ["openvino"]
    assert trial.left_out == {"eager": "there was no time to compare it"}


def test_an_engine_that_takes_longer_to_build_than_there_is_time_is_left_out() -> None:
    # What is asked of it is what the table says, not what this machine would take.
    trial = Trial(machine=a_machine(), slowness=0.8, other="compile")
    assert list(trial.rates()) == ["openvino"]
    assert trial.left_out == {"compile": "there was no time to compare it"}


def refusing(name: str) -> AbstractContextManager[MeasuringGroup]:
    raise Invalid(name, "not here")
