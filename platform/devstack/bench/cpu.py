"""What a measurement costs in CPU seconds, which says more than its time where others use the machine too."""

from contextlib import suppress

import psutil
from django.db import connection


def of_tree(pid: int) -> float:
    """User and system seconds of a process, its children, and those of them that have ended."""
    seconds = 0.0
    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        ended = top.cpu_times()
        seconds += ended.children_user + ended.children_system
        for process in (top, *top.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                seconds += times.user + times.system
    return seconds


def postmaster() -> int:
    """The pid of PostgreSQL's first process, where it runs on this machine; else 0."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = cursor.fetchone()[0]
    with suppress(psutil.Error):
        process = psutil.Process(backend)
        if process.name() == "postgres":
            return process.ppid()
    return 0


def memory_mb(pid: int) -> int:
    """The largest memory that a process of a tree has now."""
    sizes = [0]
    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        for process in (top, *top.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                sizes.append(process.memory_info().rss)
    return max(sizes) // 2**20
