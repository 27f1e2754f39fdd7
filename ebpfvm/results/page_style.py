"""Style and script of the report's page."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #f6f7f9; color: #222;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
header { background: #fff; border-bottom: 1px solid #e2e4e8; padding: 20px max(24px, calc(50vw - 590px)) 14px; }
h1 { font-size: 24px; font-weight: 650; margin: 0 0 8px; }
h2 { font-size: 17px; font-weight: 650; margin: 0; }
.facts { margin: 0; } .facts span { display: inline-block; background: #eef3f8; color: #23527c; border-radius: 11px;
  padding: 1px 11px; margin: 0 7px 7px 0; font-size: 13px; }
.qdisc { margin: 2px 0 0; color: #666; font: 12.5px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
.warning { background: #fff3df; border-left: 4px solid #e69f00; margin: 8px 0 4px; padding: 6px 12px; }
main { max-width: 1180px; margin: 18px auto; padding: 0 12px; display: grid; gap: 16px;
  grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
section { background: #fff; border: 1px solid #e2e4e8; border-radius: 8px; padding: 16px 20px 12px;
  grid-column: span 2; min-width: 0; }
section.half { grid-column: span 1; } .half .plot { height: 300px; }
.note { color: #666; margin: 2px 0 6px; font-size: 13.5px; }
.plot { height: 380px; }
.wide { overflow-x: auto; margin-top: 8px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th { color: #555; font-weight: 600; border-bottom: 2px solid #d5d8dd; } td { border-bottom: 1px solid #eef0f2; }
th, td { padding: 5px 9px; text-align: right; white-space: nowrap; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
tr.first td { border-top: 1px solid #c9cdd3; } tr:not(.first) td:first-child { color: #aaa; }
footer { max-width: 1180px; margin: 0 auto 32px; padding: 0 12px; color: #777; font-size: 13px; }
@media (max-width: 800px) { section.half { grid-column: span 2; } }
@media print { body { background: #fff; } section { break-inside: avoid; border: 0; } }
"""

SCRIPT: Final = """
const report = JSON.parse(document.getElementById("report-data").textContent);
const options = {responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"]};
Promise.all(report.plots.map(plot => Plotly.newPlot(plot.id, plot.data, plot.layout, options)))
  .then(() => { document.body.dataset.drawn = report.plots.length; });
"""
