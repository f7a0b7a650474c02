"""Every store keeps the same promises: the built-in one, and the one in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from limbeck._engine.ledger.ledger import Ledger
from limbeck._engine.ledger.stores import ForeignLedger
from limbeck.testing import LedgerContract, MemoryLedger

if TYPE_CHECKING:
    from pathlib import Path

    from limbeck.protocols import LedgerProtocol


class TestTheBuiltInLedgerKeepsTheContract(LedgerContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "run"

    def open_ledger(self) -> LedgerProtocol:
        return Ledger(self.folder)


class TestTheLedgerInMemoryKeepsTheContract(LedgerContract):
    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.ledger = MemoryLedger()

    def open_ledger(self) -> LedgerProtocol:
        return self.ledger


class TestAStoreBehindTheGuardKeepsTheContract(LedgerContract):
    @pytest.fixture(autouse=True)
    def _place(self) -> None:
        self.ledger = MemoryLedger()

    def open_ledger(self) -> LedgerProtocol:
        return ForeignLedger(self.ledger)
