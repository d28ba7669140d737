"""Run `ground_state.py` as a job, and draw its energy while it falls.

    python examples/plot_ground_state.py
    python examples/plot_ground_state.py --save energy.png --spins 8 --layers 4 --shots 2000

A window shows the energy as the interim results come in; with `--save` a picture is written, and
renewed every second, which works without a display as well. Ctrl-C, or closing the window early,
leaves the job running: `runtime-core watch` comes back to it.

It needs matplotlib: ``pip install 'runtime-core[local,examples]'``.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from adapters import RuntimeService
from runtime_core import RuntimeCoreError

try:
    import matplotlib.pyplot as plt
    from matplotlib.backend_bases import FigureCanvasBase
    from matplotlib.ticker import MaxNLocator
except ImportError:
    sys.exit("The plot needs matplotlib: pip install 'runtime-core[examples]'")

PROGRAM = Path(__file__).with_name("ground_state.py")
BETWEEN_DRAWINGS, BETWEEN_PICTURES = 0.1, 1.0  # seconds
BLUE, ORANGE = "#1f5fa8", "#c4571a"


def main() -> None:
    """Submit the job, and draw what it publishes until it ends."""
    options = arguments()
    inputs = {name: value for name, value in vars(options).items() if name != "save"}
    plot = Plot(title(inputs), options.save)
    if not (plot.has_window or options.save):
        sys.exit("There is no display to open a window on; write a picture: --save energy.png")
    come_back = "\nThere is no job yet."
    try:
        with RuntimeService.local() as service:
            job = service.run(service.upload_program(PROGRAM), inputs=inputs)
            come_back = f"\nThe job goes on. To come back: runtime-core watch {job.job_id()}"
            print(f"job {job.job_id()}", flush=True)
            for interim in job.interim_results():
                plot.add(interim)
                if plot.was_closed():
                    sys.exit(come_back)
            result = job.result()
            plot.finish()
    except KeyboardInterrupt:
        sys.exit(come_back)
    except RuntimeCoreError as error:  # that the job failed, or was cancelled, too
        sys.exit(str(error))
    print(f"energy {result['energy']:.9f}, exact {result['exact_energy']:.9f}")
    plot.stay()


def arguments() -> argparse.Namespace:
    """Take the arguments apart."""
    parser = argparse.ArgumentParser(
        description="Draw a ground-state search while it runs.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="write a picture: .png, .pdf ...")
    parser.add_argument("--spins", type=int, default=14, help="spins of the ring")
    parser.add_argument("--layers", type=int, default=7, help="layers of the ansatz")
    parser.add_argument("--iterations", type=int, default=60, help="iterations of the search")
    parser.add_argument("--field", type=float, default=1.0, help="field, in units of the coupling")
    parser.add_argument("--shots", type=int, default=0, help="measurements per energy; 0: exact")
    parser.add_argument("--seed", type=int, help="makes the search repeatable")
    options = parser.parse_args()
    if options.save:
        formats = FigureCanvasBase.get_supported_filetypes()
        if options.save.suffix.lower()[1:] not in formats:
            parser.error(f"--save: the name must end in one of .{', .'.join(sorted(formats))}")
        if not options.save.parent.is_dir():
            parser.error(f"--save: there is no folder {options.save.parent}")
    return options


def title(inputs: dict[str, Any]) -> str:
    """Say what is drawn."""
    how = f"{inputs['shots']} shots per basis" if inputs["shots"] else "exact gradients"
    return (
        f"Ground state of the transverse-field Ising ring, h = {inputs['field']:g} J\n"
        f"{inputs['spins']} spins, {inputs['layers']} layers, {how}"
    )


def shown(energy: float) -> str:
    """Write an energy as the axes do."""
    return f"{energy:.6f}".replace("-", "\N{MINUS SIGN}")


class Plot:
    """The energy by iteration, and how far it is from the exact one."""

    def __init__(self, title: str, file: Path | None) -> None:
        self._file = file
        self._seen: list[dict[str, Any]] = []
        self._drawn = self._saved = -math.inf
        self._figure, self._axes = plt.subplots(
            2, 1, sharex=True, figsize=(7.0, 6.0), height_ratios=[3, 2], layout="constrained"
        )
        for axes in self._axes:
            axes.spines[["top", "right"]].set_visible(False)
        self._figure.suptitle(title, fontsize="medium")
        # The canvas of a window names the window's toolkit.
        self.has_window = self._figure.canvas.required_interactive_framework is not None
        if self.has_window:
            plt.show(block=False)

    def add(self, interim: dict[str, Any]) -> None:
        """Take an interim result; draw, and write the picture, if the last time is long enough ago.

        Drawing takes longer than a step of a small ring: the plot must not fall behind.
        """
        self._seen.append(interim)
        now = time.monotonic()
        if self.has_window and now - self._drawn > BETWEEN_DRAWINGS:
            self._draw()
            self._drawn = time.monotonic()
        if self._file and now - self._saved > BETWEEN_PICTURES:
            self._save(self._file)
            self._saved = time.monotonic()

    def finish(self) -> None:
        """Draw, and write, everything."""
        if self.has_window:
            self._draw()
        if self._file:
            self._save(self._file)
            print(f"the picture is in {self._file}")

    def was_closed(self) -> bool:
        """Whether the user has closed the window."""
        return self.has_window and not plt.fignum_exists(self._figure.number)

    def stay(self) -> None:
        """Leave the window open until the user closes it."""
        if self.has_window:
            with contextlib.suppress(KeyboardInterrupt):
                plt.show()

    def _draw(self) -> None:
        self._fill()
        self._figure.canvas.draw_idle()
        self._figure.canvas.flush_events()

    def _save(self, file: Path) -> None:
        self._fill()
        # Whoever looks at the picture meanwhile never sees half of it.
        part = file.with_name(f".{file.name}.part")
        try:
            self._figure.savefig(part, format=file.suffix.lower()[1:], dpi=150)
            os.replace(part, file)
        finally:
            part.unlink(missing_ok=True)

    def _fill(self) -> None:
        steps = [interim["step"] for interim in self._seen]
        energies = [interim["energy"] for interim in self._seen]
        exact = self._seen[-1]["exact"]
        noise = [interim["uncertainty"] for interim in self._seen if "uncertainty" in interim]
        marks: dict[str, Any] = {"color": BLUE, "marker": "o", "markersize": 3.5, "linewidth": 1.2}
        above, below = self._axes
        for axes in self._axes:
            axes.clear()
            axes.grid(alpha=0.3)

        above.plot(steps, energies, label=f"variational: {shown(energies[-1])}", **marks)
        if noise:
            low = [energy - by for energy, by in zip(energies, noise, strict=True)]
            high = [energy + by for energy, by in zip(energies, noise, strict=True)]
            above.fill_between(steps, low, high, color=BLUE, alpha=0.2, linewidth=0)
        above.axhline(exact, color=ORANGE, linestyle="--", label=f"exact, $E_0$: {shown(exact)}")
        above.set_ylabel(r"energy $E\ /\ J$")
        above.legend(loc="upper right", frameon=False)

        # Equal to the last digit is nothing that a logarithm can show.
        away = [max(abs(energy - exact), 1e-15 * abs(exact)) for energy in energies]
        below.semilogy(steps, away, label=r"distance from $E_0$", **marks)
        if noise:
            below.semilogy(steps, noise, color=BLUE, alpha=0.5, label="standard error")
            below.legend(loc="upper right", frameon=False)
        below.set_ylabel(r"$|E - E_0|\ /\ J$")
        below.set_xlabel("iteration")
        below.set_xlim(0, self._seen[-1]["of"])
        below.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


if __name__ == "__main__":
    main()
