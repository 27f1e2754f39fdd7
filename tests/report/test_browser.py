"""The report's page in a real Chromium: no errors on its console, and the plotted numbers are the run's.

These tests need Plotly (the extra `report`) and the command `chromium`; EBPFVM_CHROMIUM names another one.
EBPFVM_SHOTS=FOLDER keeps screenshots.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.cli.main import main
from ebpfvm.results.reading import RecordedRun
from tests.unit.results.recorded import record, rows, tc

CHROMIUM = os.environ.get("EBPFVM_CHROMIUM", "chromium")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
         "--virtual-time-budget=20000", "--enable-logging=stderr", "--v=0", "--window-size=1280,3000")
# What Plotly holds of each plot, and how it is drawn, written into the page when everything is drawn.
PROBE = """<pre id="probe"></pre><script>
window.addEventListener("error", event => console.error("uncaught: " + event.message));
const waiting = setInterval(() => {
  if (!document.body.dataset.drawn) return;
  clearInterval(waiting);
  document.getElementById("probe").textContent = JSON.stringify(report.plots.map(plot => {
    const element = document.getElementById(plot.id);
    return {id: plot.id, width: element.clientWidth, height: element.clientHeight,
            title: element.layout.yaxis.title.text, paths: element.querySelectorAll(
              ".scatterlayer .js-line, .barlayer .point").length,
            legend: Array.from(element.querySelectorAll(".legendtext")).map(text => text.textContent),
            lines: element._fullData.map(line => ({name: line.name, x: Array.from(line.x), y: Array.from(line.y),
                                                   visible: line.visible}))};
  }));
}, 20);
</script></body>"""


def browse(page: Path, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, page.as_uri()],
                          capture_output=True, text=True, check=True, timeout=300)


def console(errors: str) -> list[str]:
    return [line for line in errors.splitlines() if ":CONSOLE" in line]


def drawn(page: Path, folder: Path) -> list[dict[str, Any]]:
    """Open a page, and return what Plotly has drawn."""
    probed = folder / "probed.html"
    head, body, tail = page.read_text(encoding="utf-8").rpartition("</body>")
    assert body
    probed.write_text(head + PROBE + tail, encoding="utf-8")
    ran = browse(probed, folder, "--dump-dom")
    assert console(ran.stderr) == []
    found = re.search(r'<pre id="probe">(.*?)</pre>', ran.stdout, re.DOTALL)
    assert found is not None and found[1]
    plots: list[dict[str, Any]] = json.loads(unescape(found[1]))
    if os.environ.get("EBPFVM_SHOTS"):
        shot = Path(os.environ["EBPFVM_SHOTS"]).resolve() / f"{page.stem}.png"
        browse(page, folder, f"--screenshot={shot}")
    return plots


def check(plots: list[dict[str, Any]], page: Path, paths: list[Path]) -> None:
    """Compare what is drawn with the page's data, and that with the results files."""
    found = re.search(r'id="report-data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    asked = {plot["id"]: plot for plot in json.loads(found[1])["plots"]}
    assert [plot["id"] for plot in plots] == list(asked)
    for plot in plots:
        lines = asked[plot["id"]]["data"]
        assert plot["width"] > 400 and plot["height"] >= 300 and plot["paths"] >= len(lines) and plot["title"]
        assert [(line["name"], line["x"], line["y"], line["visible"]) for line in plot["lines"]] == [
            (line["name"], line["x"], line["y"], True) for line in lines]
        if len(lines) > 1:
            assert plot["legend"] == [line["name"] for line in lines]
    backlog = next(plot for plot in plots if plot["id"] == "backlog")["lines"]
    for line, path in zip(backlog, paths, strict=True):
        samples = rows(path, "SELECT time / 1e9, most_packets FROM backlog ORDER BY rowid")
        assert list(zip(line["x"], line["y"], strict=True)) == samples
    shares = next(plot for plot in plots if plot["id"] == "shares")["lines"]
    for line, path in zip(shares, paths, strict=True):
        with RecordedRun(path) as run:
            assert sorted(line["y"]) == sorted((flow.throughput or 0) / 1e6 for flow in run.flows)


def test_the_page_of_one_run(tmp_path: Path) -> None:
    path, page = tmp_path / "run.db", tmp_path / "one.html"
    record(path, "pfifo.o", rate="2mbit")
    assert main(["report", str(path), "-o", str(page)]) == 0
    check(drawn(page, tmp_path), page, [path])


def test_the_page_of_several_runs(tmp_path: Path) -> None:
    paths = []
    for qdisc in ("pfifo", "codel", "fq_codel"):
        path = tmp_path / f"{qdisc}.db"
        record(path, tc=tc(tmp_path, f"qdisc add dev eth0 root {qdisc}"), title=qdisc, rate="2mbit")
        paths.append(path)
    page = tmp_path / "several.html"
    assert main(["report", *map(str, paths), "-o", str(page)]) == 0
    check(drawn(page, tmp_path), page, paths)


def test_the_page_of_a_comparison(tmp_path: Path) -> None:
    page = tmp_path / "compared.html"
    assert main(["compare", "pfifo", "fq_codel", "--flows", "tcp:n=3,stop=2s", "--flows",
                 "cbr:rate=80kbit,size=200b,stop=2s", "--report", str(page), "--results", str(tmp_path)]) == 0
    check(drawn(page, tmp_path), page, [tmp_path / "1.db", tmp_path / "2.db"])


def test_an_error_on_the_page_would_be_noticed(tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text("<!DOCTYPE html><title>x</title><script>Plotly.newPlot()</script>")
    assert any("Plotly is not defined" in line for line in console(browse(page, tmp_path, "--dump-dom").stderr))


@pytest.mark.parametrize("end", ["png", "svg"])
def test_images(end: str, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    record(path, "pfifo.o", rate="2mbit")
    contents = []
    for name in ("first", "second"):
        image = tmp_path / f"{name}.{end}"
        assert main(["report", str(path), f"--{end}", str(image)]) == 0
        contents.append(image.read_bytes())
    assert contents[0] == contents[1]
    assert contents[0].startswith(b"\x89PNG" if end == "png" else b"<?xml") and len(contents[0]) > 20_000
