"""Writes small files to try the data sources with: 150 irises, measured in centimetres, as if nine gardens had them.

    python examples/data/make.py [FOLDER]

Beside them, ``test.csv`` has flowers of nobody's garden, and ``public.csv`` some without their species. They are drawn
by the mean and the covariance of each species, since all 150 are somebody's already.

Fisher 1936, "The use of multiple measurements in taxonomic problems",
https://doi.org/10.1111/j.1469-1809.1936.tb02137.x; the copy is scikit-learn's. Which flower is in which garden is drawn
here: the gardens differ in size, and each has more of one species than of the others.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.datasets import load_iris

GARDENS = ("abbey", "brook", "cliff", "dale", "elm", "field", "grove", "hill", "inn")


def flowers() -> pl.DataFrame:
    """Return a row for each flower: its garden, four lengths, and the species."""
    iris = load_iris()
    table = pl.DataFrame(iris.data, [name.removesuffix(" (cm)").replace(" ", "_") for name in iris.feature_names])
    random = np.random.default_rng(0)
    gardens = np.empty(len(table), object)
    for species in range(3):
        rows = random.permutation(np.flatnonzero(iris.target == species))
        shares = [4 if number % 3 == species else 1 for number in range(len(GARDENS))]
        cuts = (np.cumsum(shares)[:-1] / np.sum(shares) * len(rows)).astype(int)
        for garden, some in zip(GARDENS, np.split(rows, cuts), strict=True):
            gardens[some] = garden
    return table.with_columns(
        species=pl.Series(iris.target_names[iris.target]), garden=pl.Series(gardens.tolist())
    ).sample(fraction=1, shuffle=True, seed=0)


def drawn(table: pl.DataFrame, each: int, seed: int) -> pl.DataFrame:
    """Return so many new flowers of each species, with lengths as theirs are distributed."""
    random = np.random.default_rng(seed)
    parts = []
    for (species,), rows in table.sort("species").partition_by("species", as_dict=True, maintain_order=True).items():
        lengths = rows.drop("species", "garden")
        values = lengths.to_numpy()
        new = random.multivariate_normal(values.mean(axis=0), np.cov(values.T), each).clip(0.1).round(1)
        parts.append(pl.DataFrame(new, lengths.columns).with_columns(species=pl.lit(species)))
    return pl.concat(parts).sample(fraction=1, shuffle=True, seed=seed)


def main(folder: Path) -> None:
    """Write the files."""
    table = flowers()
    (folder / "gardens").mkdir(parents=True, exist_ok=True)
    for (garden,), rows in table.partition_by("garden", as_dict=True).items():
        rows.drop("garden").write_csv(folder / "gardens" / f"{garden}.csv")
    table.write_csv(folder / "flowers.csv")
    table.write_parquet(folder / "flowers.parquet")
    lengths = table.drop("species", "garden")
    np.savez(
        folder / "flowers.npz",
        x=lengths.to_numpy(),
        y=table["species"].to_numpy().astype(str),
        garden=table["garden"].to_numpy().astype(str),
    )
    drawn(table, 20, seed=1).write_csv(folder / "test.csv")
    drawn(table, 40, seed=2).drop("species").write_csv(folder / "public.csv")
    print(f"wrote gardens/*.csv, flowers.csv, flowers.parquet, flowers.npz, test.csv and public.csv to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent)
