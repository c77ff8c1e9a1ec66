"""The page of shared memory on which a measuring process reports what it is doing."""

import mmap
import subprocess
import sys
from collections.abc import Sequence

from dueby_profiler.monitor.readers.status_page import MISSING, Phase, ProcessStatus, StatusPage, StatusWriter


def test_one_process_reports_and_another_reads_it() -> None:
    page = StatusPage.new()
    script = f"""
from dueby_profiler.monitor.readers.status_page import MISSING, StatusPage, Phase, StatusWriter
writer = StatusWriter(StatusPage({page.descriptor}), now_us=lambda: 77, read_statistics=lambda: [5, MISSING])
writer.enter(Phase.BUILDING, 8)
writer.read_allocator()
writer.enter(Phase.STEADY, 8)
writer.step(3, 78)
"""
    subprocess.run([sys.executable, "-c", script], pass_fds=[page.descriptor], check=True)
    status = status_on(page)
    page.close()
    assert (status.phase, status.size, status.nth_size, status.steps) == (Phase.STEADY, 8, 1, 3)
    assert (status.began_us, status.read_us, status.statistics[:2]) == (77, 77, (5, MISSING))


def test_the_allocator_is_read_between_steps_and_no_more_often_than_every_period() -> None:
    page, asked = StatusPage.new(), list[int]()
    now_us = 0

    def read_statistics() -> Sequence[int]:
        asked.append(now_us)
        return [1]

    writer = StatusWriter(page, now_us=lambda: now_us, read_statistics=read_statistics, every_us=1000)
    writer.read_allocator()
    for done in range(1, 31):
        now_us = 100 * done
        writer.step(done, now_us)
    page.close()
    assert asked == [0, 1000, 2000, 3000]


def test_without_a_gpu_the_allocator_is_tried_once_for_each_size() -> None:
    page, asked = StatusPage.new(), list[int]()

    def read_statistics() -> None:
        asked.append(0)

    writer = StatusWriter(page, now_us=lambda: 0, read_statistics=read_statistics, every_us=0)
    writer.read_allocator()
    for done in range(5):
        writer.step(done, 10 * done)
    status = status_on(page)
    page.close()
    assert (len(asked), status.read_us) == (1, None)


def test_a_process_that_died_while_writing_leaves_nothing_to_read() -> None:
    page = StatusPage.new()
    words = mmap.mmap(page.descriptor, 8)
    words[0] = 1
    assert page.read() is None
    words.close()
    page.close()


def status_on(page: StatusPage) -> ProcessStatus:
    status = page.read()
    assert status is not None
    return status
