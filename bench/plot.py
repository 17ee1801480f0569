"""Draw lines of seconds over rows, both axes logarithmic: JSON on standard input, an SVG file as the argument."""

import json
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt


def main() -> None:
    told = json.load(sys.stdin)
    mpl.rcParams["svg.hashsalt"] = "adutora"  # the same figures give the same file
    mpl.rcParams["svg.fonttype"] = "none"
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for (label, points), marker in zip(told["lines"].items(), "os^Dv", strict=False):
        axes.plot(*zip(*points, strict=True), marker=marker, label=label)
    axes.set(xscale="log", yscale="log", xlabel="rows", ylabel="seconds, start-up included")
    axes.yaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
    axes.set_title(f"City features of a table, {told['machine']}", fontsize=10)
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(sys.argv[1], metadata={"Date": None})


if __name__ == "__main__":
    main()
