"""Hand requests to threads."""
import logging
import math
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from waitress.task import ThreadedTaskDispatcher

# A request that runs for longer may wait for the disk or for another program, so another thread takes the next one.
# Where a commit takes 3 ms, so that two payments at once would gain most, this costs a seventh of the POST requests.
QUICK_SECONDS = 5 / 1000
# With as many requests in the queue, no more need to be received.
ENOUGH_REQUESTS = 2
# How long the main loop may sleep while no request waits.
IDLE_SECONDS = 1

logger = logging.getLogger(__name__)


class Dispatcher(ThreadedTaskDispatcher):
    """Gives requests to worker threads, and checks of liveness to a thread of their own.

    One thread runs one quick request after the other, and sends and receives in between. Another one joins it only
    while all running requests take longer than `QUICK_SECONDS`. The main loop sends and receives while no request is
    quick.

    Works around: waitress 3.0.2 wakes a thread for each request, and its main loop for each event. Python runs one
    thread at a time, so several busy ones hand over to each other at every row read and every line logged, and each
    finds a processor whose caches are cold. Without this, 8 threads and 8 connections serve 0.7 as many GET or POST
    requests, and a mixed day at 1,000 requests a second has a p99 of 310 ms in place of 19 to 34.
    Drop when: waitress wakes threads only as they are needed, or Python runs them in parallel.
    """

    def __init__(self, receive: Callable[[float], None]) -> None:
        """Take what sends and receives all that it can, once there is something or after some seconds."""
        super().__init__()
        self._receive = receive
        # Held by the thread that sends and receives.
        self.loop_lock = threading.Lock()
        # When each thread that runs a request began it, in monotonic seconds.
        self.began: dict[int, float] = {}
        self.idle = threading.Condition(self.lock)
        # All worker threads may wait for a database that is stuck. The service is alive all the same.
        self.liveness = ThreadedTaskDispatcher()

    def set_thread_count(self, count: int) -> None:
        """Start or stop worker threads, and with them the thread for checks of liveness."""
        super().set_thread_count(count)
        self.liveness.set_thread_count(min(count, 1))

    def add_task(self, task: Any) -> None:
        """Queue a request, and wake a thread for it unless one that runs a quick request will take it soon."""
        task.queued_since = monotonic()
        if task.checks_liveness():
            self.liveness.add_task(task)
            return
        with self.lock:
            self.queue.append(task)
            if self._quick_for() <= 0:
                self.queue_cv.notify()

    def handler_thread(self, thread_no: int) -> None:
        """Run requests until the thread has to stop."""
        while (task := self._take_task(thread_no)) is not None:
            try:
                task.service()
                self._receive_more(thread_no)
            except BaseException:
                logger.exception("Exception when servicing %r", task)

    def _receive_more(self, thread_no: int) -> None:
        """Receive requests, if few are waiting and no other thread does it."""
        is_due = len(self.queue) < ENOUGH_REQUESTS and not self.stop_count
        if is_due and self.loop_lock.acquire(blocking=False):
            # The thread is free for what it receives.
            self.began[thread_no] = monotonic()
            try:
                self._receive(0)
            finally:
                self.loop_lock.release()

    def _take_task(self, thread_no: int) -> Any:
        """Wait for the next request of a thread and return it, None if the thread has to stop."""
        with self.lock:
            self.began.pop(thread_no, None)
            while not self.stop_count and (not self.queue or self._quick_for() > 0):
                self.idle.notify()
                self.queue_cv.wait()
            if self.stop_count:
                self.stop_count -= 1
                self.threads.discard(thread_no)
                return None
            self.began[thread_no] = monotonic()
            return self.queue.popleft()

    def _quick_for(self) -> float:
        """Return for how many seconds a running request still counts as quick; 0 or less if none does."""
        return max(self.began.values(), default=-math.inf) + QUICK_SECONDS - monotonic()

    def supervise(self) -> None:
        """Do the part of the main loop once: wait for quick requests, or else receive; wake a thread if requests wait.

        A thread that runs quick requests receives by itself. The main loop would take turns with it.
        """
        with self.lock:
            if (quick_for := self._quick_for()) > 0:
                self.idle.wait(quick_for)
                return
            is_waiting = self.queue and len(self.began) < len(self.threads)
            # Without a running request, a thread has been woken already.
            if is_waiting and self.began:
                self.queue_cv.notify()
        with self.loop_lock:
            self._receive(QUICK_SECONDS if is_waiting else IDLE_SECONDS)
