"""`python -m benchmarks.report`: docs/benchmarks.md out of the results.

Only what stands between the markers is written; the rest of the page is by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .goals import GOALS, STORES
from .measures import MEASURES
from .measures.base import Column, Measure
from .results import Results
from .systems import SYSTEMS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- written by make bench: begin -->", "<!-- written by make bench: end -->"


def write(results: Results, page: Path = PAGE) -> None:
    """Put the tables of `results` into the page. Raises ValueError if it has no markers."""
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} lacks {BEGIN!r} … {END!r}")
    page.write_text(f"{before}{BEGIN}\n\n{render(results)}\n{END}{after}")


def render(results: Results) -> str:
    """Return everything that is generated."""
    parts = [_goals(results)]
    parts += [
        _section(measure, results) for measure in MEASURES.values() if results.of(measure.name)
    ]
    parts += [_surroundings(results), _not_run(results)]
    return "\n".join(part for part in parts if part)


def _goals(results: Results) -> str:
    rows = []
    for goal in GOALS:
        value, remark = goal.value(results)
        sign = "≤" if goal.at_most else "≥"
        shown = "–" if value is None else f"**{value:,.2f}** {goal.unit}"
        bounds = [f"{sign} {bound:g} {goal.unit}" for bound in (goal.floor, goal.goal)]
        reached = "–" if value is None else goal.reached(value)
        rows.append([goal.title, *bounds, shown, reached, remark])
    head = ["Bonfire", "floor", "goal", "measured", "reached", "out of"]
    return "## Against what was asked\n\n" + _table(head, rows)


def _section(measure: Measure, results: Results) -> str:
    rows = results.of(measure.name)
    text = f"## {measure.title}\n\n{measure.text}\n"
    for store in STORES:
        there = [row for row in rows if row["store"] == store]
        if store == "redis" or not there:
            continue
        beside = [row for row in rows if row["store"] in (store, "redis")]
        if not any(row["system"] == "bonfire" for row in there):
            continue
        text += f"\n### {measure.title}: {STORES[store]}\n\n" + _measure(measure, store, beside)
    return text


def _measure(measure: Measure, store: str, rows: list[dict[str, Any]]) -> str:
    columns = [c for c in measure.columns if any(_numbers(rows, c)) or _is_told(rows, c)]
    labels = list(dict.fromkeys(row["label"] for row in rows))
    head = ["system", *([""] if labels != [""] else []), *_heads(columns), "runs"]
    lines = []
    for label in labels:
        ours = [
            r for r in rows if (r["system"], r["store"], r["label"]) == ("bonfire", store, label)
        ]
        for system, place in dict.fromkeys((r["system"], r["store"]) for r in rows):
            its = [
                r for r in rows if (r["system"], r["store"], r["label"]) == (system, place, label)
            ]
            if not its or not any(any(_numbers(its, c)) for c in columns):
                continue
            title = SYSTEMS[system].title
            if place != store and "Redis" not in title:
                title += " + Redis"
            line = [title, *([label] if labels != [""] else [])]
            for column in columns:
                line += _cells(column, list(_numbers(its, column)), list(_numbers(ours, column)))
            lines.append([*line, str(len(its))])
    return _table(head, lines)


def _heads(columns: Iterable[Column]) -> Iterator[str]:
    for column in columns:
        yield column.title
        if column.ratio:
            yield "÷ Bonfire's"


def _cells(column: Column, values: list[float], ours: list[float]) -> Iterator[str]:
    digits = column.digits
    if not values:
        yield "–"
    elif f"{min(values):.{digits}f}" == f"{max(values):.{digits}f}":
        yield f"{_median(values):,.{digits}f}"
    else:
        spread = f"{min(values):,.{digits}f}–{max(values):,.{digits}f}"
        yield f"**{_median(values):,.{digits}f}** ({spread})"
    if column.ratio:
        base = _median(ours) if ours else 0
        yield f"{_median(values) / base:.3g}" if values and base else "–"


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else sum(ordered[middle - 1 : middle + 1]) / 2


def _numbers(rows: Iterable[dict[str, Any]], column: Column) -> Iterator[float]:
    for row in rows:
        if isinstance(row.get(column.key), (int, float)):
            yield row[column.key]


def _is_told(rows: Iterable[dict[str, Any]], column: Column) -> bool:
    return any(column.key in row for row in rows)


def _surroundings(results: Results) -> str:
    rows = []
    for store, title in STORES.items():
        its = [row for row in results.rows if row["store"] == store and "versions" in row]
        if not its:
            continue
        row = max(its, key=lambda r: r["session"])
        rows.append([title, row["server"], row["durability"]])
    text = "## Versions and settings\n\n" + _table(["store", "version", "settings"], rows)
    versions: dict[str, str] = {}
    for row in results.rows:
        versions.update(row.get("versions", {}))
    text += f"\nPackages: {', '.join(f'{n} {v}' for n, v in sorted(versions.items()))}.\n"
    machines = sorted({row["machine"] for row in results.rows if "machine" in row})
    dates = sorted({row["session"][:10] for row in results.rows})
    if dates:
        loads = [row["others"] for row in results.rows if "others" in row]
        text += f"\nMeasured {' and '.join(dict.fromkeys((dates[0], dates[-1])))} on "
        text += "; ".join(machines) + "."
        if loads:
            text += (
                f" Other processes used {_median(loads):.2f} cores meanwhile "
                f"(median of all measurements, at most {max(loads):.2f})."
            )
        text += "\n"
    return text


def _not_run(results: Results) -> str:
    lines = []
    for row in results.errors():
        title = f"{SYSTEMS[row['system']].title}, {STORES[row['store']]}"
        lines.append(f"- {row['measure']} {row['label']}".rstrip() + f": {title}: {row['error']}")
    unique = list(dict.fromkeys(lines))
    return "## Not run, or failed\n\n" + "\n".join(unique) + "\n" if unique else ""


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    write(Results.read())
