"""Fills the tables of the documents from the measurements, between markers, and draws the charts."""

from __future__ import annotations

import re
from pathlib import Path

from charts import charts
from report import Table, tables
from targets import Results

DOCUMENTS = ("README.md", "docs/performance.md")


def markdown(table: Table) -> str:
    columns = [name or " " for name in table.columns]
    rows = [columns, ["---"] * len(columns), *table.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def about(results: Results) -> str:
    document = results.document
    machine, versions = document["machine"], document["versions"]
    busy = machine["load before"] > 0.5
    hasty = document["settings"]["scale"] < 1
    return (
        f"Measured on {document['date'][:10]}: {machine['processor']}, {machine['processors']} processors, "
        f"{machine['system'].split('-')[0]}, SQLite {versions.get('SQLite', '?').split(' ')[0]}, "
        f"Python {machine['python']}, "
        f"diskcache {versions['diskcache']}."
        + (" The machine was busy with other work." if busy else "")
        + (" A hasty run: fewer and shorter repetitions than `make bench` makes." if hasty else "")
    )


def fill(text: str, results: Results) -> str:
    """Between <!-- bench NAME --> and <!-- end --> comes the table of that name."""
    made = {table.name: markdown(table) for table in tables(results)}
    made["about"] = about(results)

    def block(match: re.Match[str]) -> str:
        name = match.group(1)
        return f"<!-- bench {name} -->\n{made.get(name, 'Not measured.')}\n<!-- end -->"

    return re.sub(r"<!-- bench ([\w-]+) -->\n.*?<!-- end -->", block, text, flags=re.DOTALL)


def write(root: Path, results: Results) -> None:
    for name in DOCUMENTS:
        path = root / name
        path.write_text(fill(path.read_text(), results))
    folder = root / "docs" / "charts"
    folder.mkdir(parents=True, exist_ok=True)
    for name, drawing in charts(results).items():
        (folder / f"{name}.svg").write_text(drawing)
