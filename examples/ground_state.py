"""The ground state of a quantum magnet, found by variation: a program for the local service.

    runtime-core run examples/ground_state.py -i spins=10 -i layers=5
    runtime-core run examples/ground_state.py -i spins=6 -i layers=3 -i shots=2000 -i iterations=200

The magnet is the Ising ring in a transverse field, ``H = - sum Z_i Z_i+1 - field * sum X_i``: its
energies are in units of the coupling, its critical point is at a `field` of 1. The trial state is
what a quantum computer would prepare (the Hamiltonian variational ansatz): all spins along x, then
in each layer a rotation by the coupling and one by the field, of an angle each. With as many layers
as half the spins it can be the exact ground state (https://doi.org/10.21468/SciPostPhys.6.3.029).

Without `shots` the gradient is exact and followed in the metric of the states (imaginary time,
projected on the ansatz); with `shots` each energy is estimated from that many measurements in both
bases, and the search is by simultaneous perturbation (SPSA), as it would be on a device.

It needs numpy and takes some four seconds by default. Without any service: ``python
examples/ground_state.py``. `plot_ground_state.py` runs it, and draws the energy as it falls.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias

# A service runs as many jobs at a time as there are cores. With a thread of each for each core they
# would wait for each other; and for matrices of this size one is quicker than two.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

Real: TypeAlias = NDArray[np.float64]
State: TypeAlias = NDArray[np.complex128]
"""Amplitudes, as a matrix: its row is the state of the left half of the spins, its column that of
the right one, so that to turn all spins takes two small matrix products."""
Step: TypeAlias = tuple[Real, dict[str, float]]
"""Parameters, and what is to be published of them."""


class Messenger(Protocol):
    """What the service hands to a program to publish interim results with."""

    def publish(self, message: Any, final: bool = False) -> None:
        """Send one interim result."""


def main(
    backend: object,  # noqa: ARG001 - what every program is given; this one needs no backend
    user_messenger: Messenger,
    spins: int = 14,
    layers: int = 7,
    iterations: int = 60,
    field: float = 1.0,
    shots: int = 0,
    seed: int | None = None,
) -> dict[str, Any]:
    """Search for the ground state; publish the energy at the start and after each iteration."""
    check_whole("spins", spins, 3, 16)
    check_whole("layers", layers, 1, 20)
    check_whole("iterations", iterations, 1, 100_000)
    check_number("field", field, 0.0, 10.0)
    if shots:
        check_whole("shots", shots, 2, 10_000_000)
    if seed is not None:
        check_whole("seed", seed, 0, 2**63)

    random = np.random.default_rng(seed)
    ring = Ring(spins, field)
    exact = ring.ground_energy()
    parameters = first_guess(layers, random)
    search = noisy_descent(ring, parameters, shots, random) if shots else descent(ring, parameters)
    for step, (parameters, said) in zip(range(iterations + 1), search, strict=False):  # noqa: B007
        user_messenger.publish({"step": step, "of": iterations, **said, "exact": exact})

    energy = ring.energy(ring.prepare(parameters))
    return {
        "energy": energy,
        "exact_energy": exact,
        "error": energy - exact,
        "parameters": parameters,
    }


class Ring:
    """The Ising ring in a transverse field, and the trial states for it."""

    def __init__(self, spins: int, field: float) -> None:
        left, right = spins // 2, spins - spins // 2
        self.spins, self.field, self.halves = spins, field, (left, right)
        z = 1 - 2 * (np.arange(2**spins)[:, None] >> np.arange(spins) & 1)
        self.zz = (z * np.roll(z, 1, axis=1)).sum(axis=1, dtype=float).reshape(2**left, 2**right)
        self.x_left, self.x_right = sum_of_x(left), sum_of_x(right)

    def all_along_x(self) -> State:
        """Give the state before the first layer: the ground state of the field alone."""
        return np.full(self.zz.shape, 2.0 ** (-self.spins / 2), complex)

    def sum_x(self, states: State) -> State:
        """Apply the sum of all X to one state or a stack of them."""
        applied: State = self.x_left @ states + states @ self.x_right
        return applied

    def hamiltonian(self, state: State) -> State:
        """Apply the Hamiltonian."""
        applied: State = -self.zz * state - self.field * self.sum_x(state)
        return applied

    def energy(self, state: State) -> float:
        """Give the expectation of the Hamiltonian."""
        return float(np.vdot(state, self.hamiltonian(state)).real)

    def turn(self, states: State, angle: float) -> State:
        """Apply ``exp(i angle sum X)``."""
        cos, sin = np.cos(angle), 1j * np.sin(angle)
        left, right = (kron_power(np.array([[cos, sin], [sin, cos]]), n) for n in self.halves)
        turned: State = left @ states @ right
        return turned

    def prepare(self, parameters: Real) -> State:
        """Give the trial state; the two columns are the angles of coupling and field."""
        state = self.all_along_x()
        for coupling, field in parameters:
            state = self.turn(np.exp(1j * coupling * self.zz) * state, field)
        return state

    def prepare_with_derivatives(self, parameters: Real) -> tuple[State, State]:
        """Give the trial state, and its derivative by each parameter in turn."""
        states = np.empty((1 + parameters.size, *self.zz.shape), complex)
        states[0] = self.all_along_x()
        for layer, (coupling, field) in enumerate(parameters):
            by_coupling, by_field = 1 + 2 * layer, 2 + 2 * layer
            states[:by_coupling] *= np.exp(1j * coupling * self.zz)
            states[by_coupling] = 1j * self.zz * states[0]
            states[:by_field] = self.turn(states[:by_field], field)
            states[by_field] = 1j * self.sum_x(states[0])
        return states[0], states[1:]

    def measure(self, state: State, shots: int, random: np.random.Generator) -> tuple[float, float]:
        """Estimate the energy from `shots` measurements along z and as many along x.

        Returns:
            The estimate and its standard error.
        """
        hadamard = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2.0)
        left, right = (kron_power(hadamard, half) for half in self.halves)
        # After Hadamards the sum of X reads as a sum of Z, in which each bit that is set counts -1.
        ones = (np.arange(2**self.spins)[:, None] >> np.arange(self.spins) & 1).sum(axis=1)
        energy = variance = 0.0
        for amplitudes, values in (
            (state, -self.zz.ravel()),
            (left @ state @ right, -self.field * (self.spins - 2.0 * ones)),
        ):
            chances = np.abs(amplitudes.ravel()) ** 2
            counts = random.multinomial(shots, chances / chances.sum())
            mean = counts @ values / shots
            energy += mean
            variance += counts @ (values - mean) ** 2 / (shots * (shots - 1))
        return float(energy), float(np.sqrt(variance))

    def ground_energy(self) -> float:
        """Diagonalise the Hamiltonian in the Krylov space of the first state (Lanczos).

        All amplitudes of the ground state are positive, so the first state is never orthogonal to
        it.
        """
        here, before = self.all_along_x(), np.zeros(self.zz.shape, complex)
        diagonal: list[float] = []
        beside: list[float] = []
        lowest = np.inf
        while True:
            there = self.hamiltonian(here)
            diagonal.append(float(np.vdot(here, there).real))
            matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
            known, lowest = lowest, float(np.linalg.eigvalsh(matrix)[0])
            there -= diagonal[-1] * here + (beside[-1] if beside else 0.0) * before
            length = float(np.linalg.norm(there))
            if known - lowest < 1e-13 * abs(lowest) or length < 1e-10:
                return lowest
            beside.append(length)
            before, here = here, there / length


def descent(ring: Ring, parameters: Real) -> Iterator[Step]:
    """Follow imaginary time within the ansatz; the energy never rises.

    The direction is the natural gradient. A step that would raise the energy is not taken, but
    the next one is made shorter, by damping the metric more (Levenberg and Marquardt).
    """
    damping, length = 0.1, 0.2
    state, derivatives = ring.prepare_with_derivatives(parameters)
    energy = ring.energy(state)
    while True:
        yield parameters, {"energy": energy}
        tangents = derivatives.reshape(parameters.size, -1)
        slope = (tangents.conj() @ ring.hamiltonian(state).ravel()).real
        along = tangents.conj() @ state.ravel()
        metric = (tangents.conj() @ tangents.T - np.outer(along, along.conj())).real
        move = np.linalg.solve(metric + damping * np.eye(len(slope)), -length * slope)
        trial = parameters + move.reshape(parameters.shape)
        ahead = ring.prepare_with_derivatives(trial)
        energy_ahead = ring.energy(ahead[0])
        if energy_ahead < energy:
            parameters, (state, derivatives), energy = trial, ahead, energy_ahead
            damping = max(damping / 2, 1e-6)
        else:
            damping = min(damping * 8, 1e6)


def noisy_descent(
    ring: Ring, parameters: Real, shots: int, random: np.random.Generator
) -> Iterator[Step]:
    """Descend by measured energies alone: two for each step, in a random direction (Spall 1992)."""
    step = 0
    while True:
        energy, uncertainty = ring.measure(ring.prepare(parameters), shots, random)
        yield parameters, {"energy": energy, "uncertainty": uncertainty}
        rate = 0.03 / ring.spins / (1 + step / 10) ** 0.602
        shift = 0.1 / (1 + step) ** 0.101
        direction = random.choice([-1.0, 1.0], parameters.shape)
        above, _ = ring.measure(ring.prepare(parameters + shift * direction), shots, random)
        below, _ = ring.measure(ring.prepare(parameters - shift * direction), shots, random)
        parameters = parameters - rate * (above - below) / (2 * shift) * direction
        step += 1


def first_guess(layers: int, random: np.random.Generator) -> Real:
    """Give angles that are neither so small that all directions look alike, nor far off."""
    return random.uniform(0.2, 0.4, (layers, 2))


def sum_of_x(spins: int) -> Real:
    """Give the matrix of the sum of X over some spins."""
    x = np.array([[0.0, 1.0], [1.0, 0.0]])
    places = [np.kron(np.kron(np.eye(2**i), x), np.eye(2 ** (spins - 1 - i))) for i in range(spins)]
    total: Real = np.sum(places, axis=0)
    return total


def kron_power(matrix: NDArray[Any], power: int) -> NDArray[Any]:
    """Give the Kronecker product of a matrix with itself."""
    return functools.reduce(np.kron, [matrix] * power)


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Refuse what is no whole number of this range."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, not {value!r}")


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Refuse what is no number of this range."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}, not {value!r}")


class _Printer:
    def publish(self, message: Any, final: bool = False) -> None:  # noqa: ARG002
        print(message)


if __name__ == "__main__":
    print(main(None, _Printer()))
