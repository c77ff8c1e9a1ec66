"""Ctrl-C and SIGTERM, in whatever a command is doing: a process of its own gets them, and says one sentence."""

import signal
import subprocess
import sys
import textwrap

import pytest

from dueby.cli.interruption import Interruption
from support.run import MAX_WAIT_S

RESUMES = "dueby run: interrupted. The same command continues where it stopped.\n"
SIGNALS = [pytest.param(signal.SIGINT, id="Ctrl-C"), pytest.param(signal.SIGTERM, id="SIGTERM")]


def run_script(script: str, *arguments: str) -> tuple[int, str]:
    """Return the exit code and what was said."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=MAX_WAIT_S,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    ("words", "module"),
    [
        pytest.param("run -f job.yaml", "dueby.cli.arguments", id="the first import"),
        pytest.param("run -f job.yaml", "dueby.cli.run", id="the subcommand's"),
        pytest.param("run -f job.yaml", "msgspec", id="a library's"),
    ],
)
def test_during_an_import_it_is_no_traceback(words: str, module: str, number: signal.Signals) -> None:
    script = """
        import os, sys

        class Signal:
            def find_spec(self, name, *_):
                if name == sys.argv[1]:
                    os.kill(os.getpid(), int(sys.argv[2]))

        sys.meta_path.insert(0, Signal())
        from dueby.cli.main import main

        sys.exit(main(sys.argv[3:]))
    """
    assert run_script(script, module, str(int(number)), *words.split()) == (130, RESUMES)


def test_the_study_is_interrupted_in_the_same_way() -> None:
    script = """
        import os, signal, sys

        class Signal:
            def find_spec(self, name, *_):
                if name == "dueby_study.make":
                    os.kill(os.getpid(), signal.SIGINT)

        sys.meta_path.insert(0, Signal())
        from dueby_study.command import main

        sys.exit(main([]))
    """
    said = "dueby-study: interrupted. The same command continues where it stopped.\n"
    assert run_script(script) == (130, said)


@pytest.mark.parametrize(
    "doing",
    [
        pytest.param("import time; time.sleep(600)", id="it waits"),
        pytest.param(
            """
try:
    time.sleep(600)
except KeyboardInterrupt:
    raise ImportError("a library was cut short")""",
            id="a library makes an error of it",
        ),
        pytest.param(
            """
while True:
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        pass""",
            id="a library swallows it",
        ),
    ],
)
@pytest.mark.parametrize("number", SIGNALS)
def test_whatever_it_does_it_ends_with_one_sentence(doing: str, number: signal.Signals) -> None:
    script = f"""
import os, sys, threading, time
from dueby.cli.main import exit_code

def do():
    threading.Timer(0.1, os.kill, (os.getpid(), {int(number)})).start()
{textwrap.indent(doing, "    ")}

sys.exit(exit_code("dueby run", do, is_resumed=True))
"""
    assert run_script(script) == (130, RESUMES)


def test_a_second_one_ends_it_at_once() -> None:
    script = """
        import os, signal, threading, time
        from dueby.cli.interruption import Interruption

        def press():
            while True:
                time.sleep(0.3)
                os.kill(os.getpid(), signal.SIGINT)

        with Interruption("interrupted", grace_s=10 * 600):
            threading.Thread(target=press, daemon=True).start()
            while True:
                try:
                    time.sleep(600)
                except KeyboardInterrupt:
                    pass
    """
    assert run_script(script) == (130, "interrupted\n")


def test_afterwards_the_signals_are_whose_they_were() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interruption("interrupted"):
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_who_starts_it_in_the_background_can_have_it_ignore_ctrl_c() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption("interrupted"):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
