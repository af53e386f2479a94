"""Does annealing beat a constant rate when both are tuned equally? `sweep run --fair` on tables.

`make bench-findings`, or `python benchmarks/findings.py`. Every scheduler gets the same number of
trials with its own rate and decay tuned; the best of each is trained from the same fresh seeds. The
value is the validation MSE after the last epoch. Prints a table for each data set, which
docs/findings.md shows, and keeps it in `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

from tables import TABLES

from sweep.confirm.candidate import Candidate
from sweep.confirm.intervals import mean_interval, paired_lead
from sweep.confirm.verdict import CONSTANT, Confirmation
from sweep.study.metric import MSE

HERE = Path(__file__).parent
STUDY = """
epochs = {epochs}
trials = {trials}
objective = "final"
fair = true
[data]
source = "tables:{table}"
target = "{target}"
[model]
{model}
[optimizer]
name = "{optimizer}"
[pruner]
name = "thorough"
[space]
scheduler = ["constant", "inverse_sqrt", "step", "exponential", "cosine", "linear", "wsd"]
lr = "{lr}"
decay = "1e-4:1:log"
warmup = "0:0.2"
[confirm]
seeds = {seeds}
share = 1.0
"""
RATES = {"sgd": "1e-3:1:log", "adamw": "1e-5:0.1:log"}
ORDER_PRE = "name = 'order-pre'"
MLP = "name = 'mlp'\nhidden = [64, 64]"


def run(table: str, optimizer: str, given: argparse.Namespace) -> Confirmation:
    """A fair study of one table, and what came of its schedulers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = STUDY.format(
            table=table,
            target=TABLES[table]().columns[-1],
            model=ORDER_PRE if table == "behaviour_counts" else MLP,
            optimizer=optimizer,
            lr=RATES[optimizer],
            epochs=given.epochs,
            trials=given.trials,
            seeds=given.seeds,
        )
        (folder / "fair.toml").write_text(text)
        command = [sys.executable, "-m", "sweep", "run", str(folder / "fair.toml"), "--quiet"]
        subprocess.run(command, cwd=HERE, check=True)
        described = json.loads((folder / "fair" / "best_schedule.json").read_text())
    return Confirmation.from_dict(described["confirmation"], MSE)


def against(baseline: Candidate, candidate: Candidate) -> str:
    """A candidate's lead over the tuned constant rate, paired by seed."""
    if candidate is baseline or not math.isfinite(candidate.interval.mean):
        return ""
    lead = paired_lead(candidate.values, baseline.values)
    text = f"{lead.mean:+.1%} ({lead.low:+.1%} to {lead.high:+.1%})"
    return f"**{text}**" if lead.low > 0 or lead.high < 0 else text


def table_of(confirmation: Confirmation) -> str:
    """The schedulers in GitHub's Markdown, the best mean first."""
    baseline = confirmation.constant
    assert baseline is not None
    ranks = dict(zip(confirmation.candidates, confirmation.mean_ranks(), strict=True))
    lines = [
        "| scheduler | peak lr | decay | validation MSE | lower than constant by | mean rank |"
    ]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for candidate in sorted(confirmation.candidates, key=lambda c: c.interval.mean):
        schedule, interval = candidate.schedule, mean_interval(candidate.values)
        cells = [schedule.scheduler, f"{schedule.lr:.3g}"]
        cells.append("-" if schedule.scheduler == CONSTANT else f"{schedule.decay:.2g}")
        cells.append(f"{interval.mean:.5g} ± {interval.margin:.2g}")
        cells += [against(baseline, candidate), f"{ranks[candidate]:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the studies, print and keep their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=["diamonds", "loans"])
    parser.add_argument("--optimizers", nargs="+", choices=list(RATES), default=["sgd", "adamw"])
    parser.add_argument("--trials", type=int, default=350)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    given = parser.parse_args()
    parts = []
    for table in given.tables:
        for optimizer in given.optimizers:
            confirmation = run(table, optimizer, given)
            parts.append(f"### {table}, {optimizer}\n\n{table_of(confirmation)}\n")
            print(parts[-1], flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "findings.md").write_text("\n".join(parts))


if __name__ == "__main__":
    main()
