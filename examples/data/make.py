"""Writes small files to try the data sources with: 150 irises, measured in centimetres, as if nine gardens had them.

    python examples/data/make.py [FOLDER]

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
    print(f"wrote gardens/*.csv, flowers.csv, flowers.parquet and flowers.npz to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent)
