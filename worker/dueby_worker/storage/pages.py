"""List a bucket's folders side by side.

A page of a listing has 1,000 keys and takes as long as a request, so a hundred million keys, one page after the other,
take hours. Folders are found by listing what is directly in one. That is done for few of them, and for none that holds
more than a page of folders and keys, so that it costs few requests; the others are listed with all that is below them.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from dueby_worker.storage.remote import ListingPage

# Pages that are asked for at the same time. One takes 100 ms, and some 10 ms of a core to read.
_AT_ONCE = 16
# Returns a page of the keys that begin with a prefix, up to a delimiter unless it is empty, and from `more` on. Nobody
# waits for it once the event is set.
GetPage = Callable[[str, str, str | None, threading.Event], ListingPage]


def pages_below(prefix: str, get: GetPage) -> Iterator[ListingPage]:
    """Yield the pages of all keys that begin with the prefix, those of several folders side by side."""
    waiting: deque[tuple[str, str, str | None]] = deque([(prefix, "/", None)])
    asked: dict[Future[ListingPage], tuple[str, str]] = {}
    folders, stop = 1, threading.Event()
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pages")
    try:
        while waiting or asked:
            while waiting and len(asked) < _AT_ONCE:
                folder, delimiter, more = waiting.popleft()
                asked[pool.submit(get, folder, delimiter, more, stop)] = folder, delimiter
            for future in wait(asked, return_when=FIRST_COMPLETED).done:
                folder, delimiter = asked.pop(future)
                page = future.result()
                if delimiter and page.more is not None:
                    waiting.append((folder, "", None))
                    continue
                if page.more is not None:
                    waiting.appendleft((folder, "", page.more))
                for below in page.prefixes:
                    folders += 1
                    waiting.append((below, "/" if folders < _AT_ONCE else "", None))
                yield page
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
