"""Ids that a model has no row for are told before anything is trained, with range and size."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from twins import own, settings

from sweep.base.errors import ModelError
from sweep.training.build import check_training
from sweep.training.contract import TrainingData
from sweep.training.criterion import Criterion

ROWS, OTHERS, COLUMNS = 400, 90, 3


class Net(nn.Module):
    """Has a table for all columns, or one of each."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(size, 4) for size in sizes)
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        if len(self.tables) == 1:
            return self.head(self.tables[0](x).mean(1))  # type: ignore[no-any-return]
        each = [table(x[:, i]) for i, table in enumerate(self.tables)]
        return self.head(torch.stack(each, 1).mean(1))  # type: ignore[no-any-return]


class Bag(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(size, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.bag(input=x)  # type: ignore[no-any-return]


def data(top: int = 9, place: tuple[str, int, int] = ("x_train", 399, 1)) -> TrainingData:
    """Ids from 0 to 9, but one of another number in a late row."""
    draw = torch.Generator().manual_seed(0)
    x, others = (torch.randint(0, 10, (n, COLUMNS), generator=draw) for n in (ROWS, OTHERS))
    y, z = (torch.randn(n, generator=draw) for n in (ROWS, OTHERS))
    made = TrainingData(x, y, others, z, 1.0)
    part, row, column = place
    getattr(made, part)[row, column] = top
    return made


def check(model: nn.Module, rows: TrainingData) -> None:
    check_training(model, rows, settings(), Criterion.of(settings(), rows))


@pytest.mark.parametrize(
    ("sizes", "rows", "expected"),
    [
        ((10,), data(12), "'tables.0' has 10 rows, for ids from 0 to 9, but the data has ids from "
         "0 to 12; give it num_embeddings=13, or more"),
        ((10,), data(12, ("x_validation", 89, 2)), "has ids from 0 to 12; give"),
        ((10,), data(-1), "has ids from -1 to 9; number them from 0"),
        ((10, 12, 10), data(12), "'tables.1' has 12 rows, for ids from 0 to 11"),
    ],
)  # fmt: skip
def test_ids_beyond_a_table(sizes: tuple[int, ...], rows: TrainingData, expected: str) -> None:
    with pytest.raises(ModelError) as raised:
        check(Net(*sizes), rows)
    assert expected in str(raised.value)


def test_ids_of_a_bag() -> None:
    with pytest.raises(ModelError, match="its embedding 'bag' has 10 rows"):
        check(Bag(10), data(40))


def test_what_is_in_its_tables_is_well() -> None:
    for model, rows in ((Net(10), data()), (Net(10, 13, 10), data(12)), (Bag(41), data(40))):
        before = [each.clone() for each in model.parameters()]
        check(model, rows)
        assert model.training
        assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_another_fault_is_told_as_ever() -> None:
    with pytest.raises(ModelError, match="RuntimeError: my own"):

        class Broken(Net):
            def forward(self, x: Tensor) -> Tensor:
                raise RuntimeError("my own")

        check(Broken(10), data(12))


def test_a_long_row_is_looked_at_as_a_whole() -> None:
    rows = data()
    wide = [part.repeat(1, 300) for part in (rows.x_train, rows.x_validation)]
    long = TrainingData(wide[0], rows.y_train, wide[1], rows.y_validation, 1.0)
    long.x_train[7, 600] = 10
    with pytest.raises(ModelError, match="has ids from 0 to 10; give it num_embeddings=11"):
        check(own(lambda: Net(10))(0), long)
