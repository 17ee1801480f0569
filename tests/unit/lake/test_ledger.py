"""Ledgers on local disk."""

import concurrent.futures

import pytest

from adutora.errors import ConfigError, TemporaryError
from adutora.io.ledger import Ledger


@pytest.fixture
def ledger(tmp_path):
    return Ledger(str(tmp_path / "lake"), "team.p/land[0]/files")


def seen(ledger):
    return {name for batch in ledger.batches() for name in batch.content["seen"]}


def test_batches_in_order(ledger):
    assert ledger.last() is None
    assert ledger.batches() == []
    assert seen(ledger) == set()
    first = ledger.propose({"seen": ["a@1", "b@1"], "n": {"deep": [1, None, "é"]}})
    second = ledger.propose({"seen": ["c@1"]})
    assert (first.number, second.number) == (1, 2)
    assert ledger.last() == second
    assert ledger.batches() == [first, second]
    assert first.content["n"] == {"deep": [1, None, "é"]}
    assert seen(ledger) == {"a@1", "b@1", "c@1"}


def test_numbers_go_on_after_a_reset(ledger):
    ledger.propose({"seen": ["a"]})
    ledger.reset()
    assert ledger.last() is None
    assert seen(ledger) == set()
    assert ledger.propose({"seen": ["a"]}).number == 3


def test_ledgers_are_apart(tmp_path):
    root = str(tmp_path)
    Ledger(root, "team.p/land[0]/files").propose({})
    assert Ledger(root, "team.p/land[1]/files").last() is None
    assert Ledger(root, "team.p/land/files").last() is None


@pytest.mark.parametrize("name", ["", "../x", "a//b", "a/../b", "a\\b"])
def test_names_that_are_none(tmp_path, name):
    with pytest.raises(ConfigError):
        Ledger(str(tmp_path), name)


def test_one_of_many_gets_the_number(tmp_path):
    def propose(who):
        try:
            return Ledger(str(tmp_path), "p/s").propose({"who": who}).number
        except TemporaryError:
            return None

    for _ in range(5):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(propose, range(8)))
    numbers = [batch.number for batch in Ledger(str(tmp_path), "p/s").batches()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_it_stays_small(ledger, tmp_path):
    for number in range(130):
        ledger.propose({"seen": [f"f{number}"]})
    assert len(seen(ledger)) == 130
    from deltalake import DeltaTable

    (folder,) = (tmp_path / "lake" / ".adutora" / "ledger" / "team.p").glob("land*/files")
    assert len(DeltaTable(str(folder)).file_uris()) < 10


def test_a_batch_that_another_wrote_after_the_reading_is_a_conflict(tmp_path):
    mine, other = Ledger(str(tmp_path), "p/s"), Ledger(str(tmp_path), "p/s")
    mine.propose({"seen": ["a"]})
    assert mine.last().number == 1
    other.propose({"seen": ["b"]})
    with pytest.raises(TemporaryError, match="another process"):
        mine.propose({"seen": ["b"]})
    assert mine.last().number == 2
    assert mine.propose({"seen": ["c"]}).number == 3
