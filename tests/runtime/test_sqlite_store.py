import pytest
from tierwise.runtime.stores.memory import MemoryStore
from tierwise.runtime.stores.sqlite import SqliteStore
from tierwise.runtime.compute import InlineCompute
from .store_contract import StoreContract

class TestMemoryStore(StoreContract):
    @pytest.fixture
    def make_store(self):
        store = MemoryStore()
        return lambda: store


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def make_store(self, tmp_path):
        return lambda: SqliteStore(tmp_path / "run.db")

class TestSqliteStoreInline(StoreContract):
    @pytest.fixture
    def make_store(self, tmp_path):
        return lambda: SqliteStore(tmp_path / "run.db", compute=InlineCompute())
