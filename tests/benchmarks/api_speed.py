"""How fast a chat API is asked: 200 calls of half a second each, 50 at once, through the command line.

The ideal is four waves: 2.0 s from the first request to the last answer, measured by the server. A bare client with the
`openai` SDK is measured for comparison. The whole process may take a few seconds more, to start and to store. Then the
memory of 10,000 chats is measured. The numbers are medians of three runs.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from openai_servers import ChatServer, measure_apart, serving, spec

CALLS, AT_ONCE, LATENCY, RUNS = 200, 50, 0.5, 3
IDEAL = CALLS / AT_ONCE * LATENCY
LIMIT_WINDOW, LIMIT_REST, LIMIT_MEMORY = 2.1, 3.0, 300.0
CHATS = 10_000


def window(server: ChatServer) -> float:
    """Return the seconds between the first request's start and the last answer's end."""
    rows = server.log()
    assert len(rows) == CALLS
    assert all(row["status"] == 200 for row in rows)
    return float(max(row["end"] for row in rows) - min(row["start"] for row in rows))


def through_popbench(server: ChatServer) -> tuple[float, float]:
    """Make the calls with `popbench eval` in a fresh process; return the window and the total, in seconds."""
    server.reset(latency=LATENCY)
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "popbench", "eval", "--llm", spec(server), "--task", "popcorn", "--mode", "basic",
            "--stop-after", "write", "--concurrency", str(AT_ONCE), "--out", "run",
        ]  # fmt: skip
        started = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        whole = time.perf_counter() - started
    return window(server), whole


def bare(server: ChatServer) -> float:
    """Make the calls with the SDK and a semaphore; return the window."""
    import openai

    async def ask() -> None:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
            free = asyncio.Semaphore(AT_ONCE)

            async def one(number: int) -> None:
                async with free:
                    text = f"Write a title and a video prompt as JSON. Request {number}. {'words ' * 250}"
                    await client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": text}])

            await asyncio.gather(*(one(number) for number in range(CALLS)))

    server.reset(latency=LATENCY)
    asyncio.run(ask())
    return window(server)


def main() -> int:
    """Measure and print; the exit status says whether the limits are kept."""
    with serving() as server:
        runs = [through_popbench(server) for _ in range(RUNS)]
        floor = statistics.median(bare(server) for _ in range(RUNS))
        ours, whole = (statistics.median(values) for values in zip(*runs, strict=True))
        server.reset(latency=0.02)
        memory = measure_apart(server.url, CHATS, 4 * AT_ONCE)
        most = server.most()
    print(f"{CALLS} calls of {LATENCY:g} s, {AT_ONCE} at once; windows: {', '.join(f'{run[0]:.2f} s' for run in runs)}")
    print(f"median window {ours:.2f} s; allowed {LIMIT_WINDOW:g} s; ideal {IDEAL:g} s; ratio {ours / IDEAL:.3f}")
    print(f"bare SDK client: {floor:.2f} s; ratio to it {ours / floor:.3f}")
    print(f"whole process: {whole:.2f} s, {whole - ours:.2f} s beyond the window; allowed {LIMIT_REST:g} s beyond")
    rate, answered = CHATS / memory["seconds"], memory["answered"]
    print(f"{CHATS} chats, {most} at once: {memory['seconds']:.1f} s, {rate:.0f} a second; {answered} answered")
    print(f"memory above the start: {memory['above_mb']:.0f} MB; allowed {LIMIT_MEMORY:g} MB")
    print(f"memory in the second half: {memory['grown_mb']:+.1f} MB")
    slow = ours > LIMIT_WINDOW or whole - ours > LIMIT_REST
    return int(slow or memory["above_mb"] > LIMIT_MEMORY or memory["answered"] != CHATS)


if __name__ == "__main__":
    sys.exit(main())
