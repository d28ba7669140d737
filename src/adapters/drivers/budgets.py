"""One budget for each service, for as long as what stands for the service is in use."""

from __future__ import annotations

import weakref
from functools import partial

from adapters.drivers.status_budget import StatusBudget, World


class Budgets:
    """The budgets of one reactor, by the identity of their services. Used on its loop only.

    It keeps no service alive, and no budget whose service is gone.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[int, tuple[weakref.ref[object], StatusBudget]] = {}

    def of(self, service: object) -> StatusBudget:
        """Give the budget of a service: a new one each time if it cannot be weakly referenced."""
        key = id(service)
        known = self._known.get(key)
        if known is not None and known[0]() is service:
            return known[1]
        budget = StatusBudget(self._world)
        try:
            reference = weakref.ref(service, partial(self._forget, key))
        except TypeError:
            return budget
        self._known[key] = reference, budget
        return budget

    def _forget(self, key: int, reference: weakref.ref[object]) -> None:
        # On whatever thread the service ends; another one may be in its place already.
        known = self._known.get(key)
        if known is not None and known[0] is reference:
            del self._known[key]
