"""How long the page takes to answer with thirty networks, in a real browser, at full speed and slowed down."""

import datetime
import json
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from tools import ROOT
from tools.play.alone import write_page
from tools.play.browser import opened, served

__all__ = ["RESULTS", "measure"]

RESULTS = ROOT / "benchmarks" / "results" / "play.json"

ROUNDS, TIMES, BUSY = 5, 40, 1.2

SLOWER = (4, 6)
"""Times that the browser slows the page down, as its developers do to stand for a good phone and for a plain one."""

ANSWER = """([draws, times]) => {
  const { readLayers, drawNetwork, meanNetwork, answer } = window.play;
  const data = window.playData.digits;
  const layers = readLayers(data.layers), plain = meanNetwork(readLayers(data.plain));
  const networks = Array.from({ length: draws }, (_, i) => drawNetwork(layers, i));
  const images = Uint8Array.from(atob(data.images.digit.bytes), (c) => c.charCodeAt(0));
  const begun = performance.now();
  for (let i = 0; i < times; i++) {
    const at = 784 * (i % (images.length / 784));
    answer(networks, plain, Float64Array.from(images.subarray(at, at + 784), (byte) => byte / 256));
  }
  return performance.now() - begun;
}"""
"""Make the networks, and answer so many times: thirty draws, the split of their doubt, and the plain network.

What it returns is the milliseconds that the answers took by the clock.
"""


def measure(file: Path = RESULTS) -> dict[str, Any]:
    """Measure what an answer to a test digit takes, and write it.

    At full speed it is the time that the processor worked on the page, so that what else the machine does hardly
    counts. The networks are drawn once, when the page starts, and their time is taken off. Slowed down by the browser
    (`Emulation.setCPUThrottlingRate`) it is the time by the clock, since the browser does that by waiting.

    Raises
    ------
    RuntimeError
        If so much else runs on this machine that its clock says nothing.
    """
    from companion.versions import machine
    from tools.play.files import read

    draws = read("digits")["draws"]
    with TemporaryDirectory() as made, opened() as browser:
        name = write_page(Path(made))
        with served(Path(made)) as address:
            page = browser.new_page()
            page.goto(address + name)
            page.wait_for_selector(".play[data-piece=digits][data-ready=yes]", timeout=120_000)
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})

            def worked(times: int) -> float:
                before = _clock(session)
                page.evaluate(ANSWER, [draws, times])
                return _clock(session) - before

            worked(TIMES)  # the browser compiles what is called often
            found = round(median((worked(TIMES) - worked(0)) / TIMES for _ in range(ROUNDS)), 1)

            def by_clock(slower: int) -> float:
                session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
                rounds = [page.evaluate(ANSWER, [draws, TIMES // 2]) / (TIMES // 2) for _ in range(ROUNDS)]
                return round(median(rounds), 1)

            before, slowed, after = by_clock(1), {str(slower): by_clock(slower) for slower in SLOWER}, by_clock(1)
        if max(before, after) > BUSY * found:
            raise RuntimeError(f"{found} ms of work took {before} and {after} ms by the clock: let nothing else run.")
        browser_ = f"Chromium {browser.version}"
    result = {
        "date": datetime.date.today().isoformat(),
        "browser": browser_,
        "machine": machine(),
        "draws": draws,
        "milliseconds": found,
        "slowed": slowed,
    }
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{draws} draws and the plain network: {found} ms of the processor's time")
    print("slowed down, by the clock:", ", ".join(f"{slower} times {took} ms" for slower, took in slowed.items()))
    return result


def _clock(session: Any) -> float:
    """Give the milliseconds that the page's thread has worked."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(1000 * metric["value"] for metric in metrics if metric["name"] == "TaskDuration")
