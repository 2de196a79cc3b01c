"""Whether samples carry the class they were made for, against what real wafers reach, and whether they look real."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib
import pandas as pd

from waferbench.report.kit.figures import INK, LINE, MUTED, clean, sheet, svg
from waferbench.report.kit.tables import BLANK, Cell, Table, name, number
from waferbench.report.kit.words import known
from waferbench.report.synthesis.figures import source_colours
from waferbench.report.synthesis.study import Study
from waferbench.statistics.labels import REAL

LIMIT = 0.6  # of what real wafers reach: below it the judge does not see the class that was asked for
REBUILT = ["agreement", "agreement_original", "error"]
SEEN = 0.6  # area under the ROC curve from which origin counts as visible
TELLING = 0.05  # bits of the class


@dataclass(frozen=True)
class Share:
    """How often the judge sees the class asked for. floor: the same of held-out real wafers, None where unknown.

    mostly: label of the most frequent other call, "" for none.
    """

    value: float
    count: int
    floor: float | None = None
    mostly: str = ""

    @property
    def of_floor(self) -> float | None:
        """The share that real wafers reach of which this one is left."""
        return self.value / self.floor if self.floor else None

    @property
    def weak(self) -> bool:
        """Too low, by a measure that real wafers themselves pass."""
        if self.floor is None:
            return self.value < LIMIT
        return bool(self.floor) and self.value < LIMIT * self.floor


def accepted(study: Study) -> pd.DataFrame:
    """The judged samples that are in the pool (all where nothing says which are), and the held-out real wafers."""
    table = study.agreement
    if "in_pool" in table and table["in_pool"].notna().all():
        return table[table["in_pool"].astype(bool)]
    pool = study.shape_filter
    pool = pool[pool["in_pool"].fillna(False).astype(bool)] if len(pool) else pool
    if not len(pool):
        return table
    keys = ["source", "label", "index"] + ([] if (pool["fold"] == -1).all() else ["fold"])
    real = table[table["source"] == REAL]
    return pd.concat([table.merge(pool[keys].drop_duplicates(), on=keys), real], ignore_index=True)


def shares(study: Study) -> dict[tuple[str, str], Share]:
    """(source, label) -> its share, folds together; held-out wafers under `REAL`."""
    table = accepted(study)
    if not len(table):
        return {}
    table = table.assign(right=table["y_judge"] == table["label"])
    floors = table[table["source"] == REAL].groupby("label")["right"].mean()
    found = {}
    for (source, label), mine in table.groupby(["source", "label"], sort=False):
        wrong = mine.loc[~mine["right"], "y_judge"].value_counts()
        floor = float(floors[label]) if label in floors.index else None
        often = str(wrong.index[0]) if len(wrong) else ""
        found[str(source), str(label)] = Share(float(mine["right"].mean()), len(mine), floor, often)
    return found


def weak_classes(study: Study) -> list[str]:
    """``source class`` of generators' samples in which the judge sees another class far more than in real wafers."""
    found = shares(study)
    skip = {REAL, *study.oracles}
    weak = [key for key, share in sorted(found.items()) if share.weak and key[0] not in skip]
    return [f"{source} {study.name_of(label)}" for source, label in weak]


def judged_sources(study: Study) -> list[str]:
    """Sources that were judged, in the study's order; held-out wafers are none of them."""
    found = dict.fromkeys(source for source, _ in shares(study) if source != REAL)
    return [s for s in study.sources if s in found] or sorted(found)


def reconstructions(study: Study) -> dict[str, pd.DataFrame]:
    """Source -> of each label the columns `REBUILT`, of held-out wafers behind and before its autoencoder."""
    table, found = study.reconstruction, {}
    for source, mine in table.groupby("source", sort=False):
        n = mine["n"].astype(float)
        sums = mine[REBUILT].astype(float).mul(n, axis=0).assign(n=n).groupby(mine["label"]).sum()
        found[str(source)] = sums[REBUILT].div(sums["n"], axis=0)
    return found


def agreement(study: Study) -> Table | None:
    """Share of accepted samples that the judge gives the class asked for, beside real wafers; low ones are marked."""
    found, sources, rebuilt = shares(study), judged_sources(study), reconstructions(study)
    if not found:
        return None
    labels = [label for label in study.names if any((s, label) in found for s in (REAL, *sources))]
    floor, head, columns = any(source == REAL for source, _ in found), ["Class"], []
    if floor:
        head.append("real wafers, held out")
        columns.append([_real(found.get((REAL, label))) for label in labels])
    for source in sources:
        head.append(f"{source} (ceiling)" if source in study.oracles else source)
        columns.append([_judged(study, source, found.get((source, label))) for label in labels])
        if source in rebuilt:
            head.append(f"real wafers through {source}’s autoencoder")
            columns.append([_rebuilt(rebuilt[source], label) for label in labels])
    rows = [[name(study.name_of(label)), *(column[i] for column in columns)] for i, label in enumerate(labels)]
    real = columns[0] if floor else []
    totals = [name("Mean over classes"), *(_mean(column, real if column is not real else []) for column in columns)]
    return Table(head, rows, kind="heat", totals=[totals])


def _real(share: Share | None) -> Cell:
    if share is None:
        return BLANK
    return Cell(f"{share.value:.0%}", share.value, f"of {share.count:,}", "muted")


def _judged(study: Study, source: str, share: Share | None) -> Cell:
    if share is None:
        return BLANK
    notes = [f"{share.of_floor:.0%} of real"] if share.of_floor is not None else []
    notes += [f"else {study.name_of(share.mostly)}"] if share.mostly else []
    flag = share.weak and source not in study.oracles
    text = f"⚑ {share.value:.0%}" if flag else f"{share.value:.0%}"
    heat, title = None if flag else share.value, f"of {share.count:,} samples"
    return Cell(text, share.value, "; ".join(notes), "bad" if flag else "", heat, title)


def _rebuilt(table: pd.DataFrame, label: str) -> Cell:
    if label not in table.index:
        return BLANK
    row = table.loc[label]
    title = f"mean error {row['error']:.1f} greys"
    note = f"{row['agreement_original']:.0%} as they are"
    return Cell(f"{row['agreement']:.0%}", float(row["agreement"]), note, "muted", title=title)


def _mean(cells: list[Cell], floors: list[Cell]) -> Cell:
    """The mean of a column over its classes, and what is left of these classes' floors, which none exceeds."""
    known_at = [i for i, cell in enumerate(cells) if cell is not BLANK]
    values = [float(cells[i].value) for i in known_at]
    pairs = [(float(cells[i].value), float(floors[i].value)) for i in known_at if floors and floors[i] is not BLANK]
    floor = sum(floor for _, floor in pairs)
    note = f"{sum(map(min, pairs)) / floor:.0%} of real, class by class" if floor else ""
    return Cell(f"{sum(values) / len(values):.0%}", sum(values) / len(values), note) if values else BLANK


def agreement_figure(study: Study) -> str | None:
    """Inline SVG: a panel a source, a row a class; a dot for samples, a bar for held-out wafers, hollow: rebuilt."""
    found, sources, rebuilt = shares(study), judged_sources(study), reconstructions(study)
    labels = [label for label in study.names if any((s, label) in found for s in sources)]
    if not labels or not sources:
        return None
    palette = source_colours(study)
    with sheet(1.3 + 1.6 * len(sources), 0.9 + 0.27 * len(labels)) as figure:
        grid = figure.subplots(1, len(sources), squeeze=False, sharey=True)[0]
        for axes, source in zip(grid, sources, strict=True):
            for y, label in enumerate(labels):
                floor = found.get((REAL, label))
                if floor is not None:
                    axes.plot([100 * floor.value], [y], "|", ms=13, mew=2, color=MUTED)
                if source in rebuilt and label in rebuilt[source].index:
                    value = 100 * rebuilt[source].loc[label, "agreement"]
                    axes.plot([value], [y], "o", ms=7, mfc="none", mec=palette.get(source, INK), mew=1.3)
                if (source, label) in found:
                    axes.plot([100 * found[source, label].value], [y], "o", ms=6, color=palette.get(source, INK))
            axes.set_title(source, color=INK, fontsize=9, loc="left")
            axes.set_xlim(-4, 104)
            axes.xaxis.set_major_locator(matplotlib.ticker.FixedLocator([0, 50, 100]))
            clean(axes)
            axes.grid(axis="y", color=LINE, lw=0.6)
        grid[0].set_yticks(range(len(labels)), [study.name_of(label) for label in labels])
        grid[0].set_ylim(len(labels) - 0.5, -0.5)
        figure.supxlabel("% to which the judge gives the intended class", color=MUTED, fontsize=9.5)
        return svg(figure, "Agreement of the judge with the intended class, against held-out real wafers")


def texture(study: Study) -> Table | None:
    """Per condition: whether its added wafers are told from real ones, and what that tells of the class."""
    t = study.texture
    if not len(t):
        return None
    columns = ["n_added", "auc", "bits", "accuracy_by_origin", "accuracy_majority"]
    means = t[columns].astype(float).groupby(t["condition"]).mean()
    oracles = [c for c in means.index if study.source_of(c) in study.oracles]
    usual = max([SEEN, *means.loc[oracles, "auc"].dropna()])
    rows = []
    for condition in [c for c in study.conditions if c in means.index]:
        m = means.loc[condition]
        text, tone = ("further real wafers, of other lots", "muted") if condition in oracles else _telling(m, usual)
        rows.append(
            [
                name(condition),
                number(m["n_added"], ",.0f"),
                number(m["auc"], ".2f"),
                number(m["bits"], ".3f"),
                number(m["accuracy_by_origin"], ".1%"),
                number(m["accuracy_majority"], ".1%"),
                Cell(text, tone=tone),
            ]
        )
    head = ["Condition", "Added", "Told from real, AUC", "Bits of the class", "Called right by origin"]
    return Table([*head, "by the largest class alone", ""], rows) if rows else None


def _telling(row: pd.Series, usual: float) -> tuple[str, str]:
    """A verdict and its tone; usual: the AUC that further real wafers reach, or at least `SEEN`."""
    if not known(row["auc"]):
        return "too few added wafers to tell", "muted"
    if row["auc"] <= usual:
        return "told no better than further real wafers", "good"
    if known(row["bits"]) and row["bits"] < TELLING:
        return "looks synthetic, which tells next to nothing of the class", ""
    return "looks synthetic, and that tells the class", "bad"
