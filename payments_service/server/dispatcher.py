"""Hand requests to threads."""
from time import monotonic
from typing import Any

from waitress.task import ThreadedTaskDispatcher

# A request that has waited at the head of the queue for this long wakes another thread.
WAKE_AFTER_SECONDS = 1 / 1000
# How long the main loop may sleep while no request waits.
IDLE_SECONDS = 1


class Dispatcher(ThreadedTaskDispatcher):
    """Gives requests to worker threads, and checks of liveness to a thread of their own.

    Keeps requests on one thread while each is quick, and wakes another when one blocks.

    Works around: waitress 3.0.2 wakes a thread for each request. Python runs one thread at a time, so several busy ones
    hand over to each other at every row read and every line logged. With 8 threads and 16 connections this halves the
    context switches of a GET (5.2 in place of 9.8). An earlier measurement on an idle machine of 2 cores found 1.45 to
    1.6 times as many GET requests and as many POST; where other programs keep both cores busy, the rate is the same.
    Drop when: waitress wakes threads only as they are needed, or Python runs them in parallel.
    """

    # The request at the head of the queue, and since when (monotonic seconds) it has been there.
    head: Any = None
    head_since: float = 0

    def __init__(self) -> None:
        super().__init__()
        # All worker threads may wait for a database that is stuck. The service is alive all the same.
        self.liveness = ThreadedTaskDispatcher()

    def set_thread_count(self, count: int) -> None:
        """Start or stop worker threads, and with them the thread for checks of liveness."""
        super().set_thread_count(count)
        self.liveness.set_thread_count(min(count, 1))

    def add_task(self, task: Any) -> None:
        """Queue a request. A busy thread takes it as soon as it is free; without one, an idle thread wakes up."""
        task.queued_since = monotonic()
        if task.checks_liveness():
            self.liveness.add_task(task)
            return
        with self.lock:
            self.queue.append(task)
            if len(self.queue) == 1 and not self.active_count:
                self.queue_cv.notify()

    def wake_waiting(self) -> float:
        """Wake another thread if a request has waited for too long; return the seconds until the next call is due."""
        with self.lock:
            if not self.queue or self.active_count == len(self.threads):
                self.head = None
                return IDLE_SECONDS
            if self.queue[0] is not self.head:
                self.head, self.head_since = self.queue[0], monotonic()
            elif monotonic() - self.head_since >= WAKE_AFTER_SECONDS:
                self.queue_cv.notify()
                self.head_since = monotonic()
            return WAKE_AFTER_SECONDS
